"""Training of an architecture up to measured outputs: recipes, losses, augmentation, the training loop with its
checkpoints, and the executors that run trainings. The choice of architectures to train is made in `search`."""
