"""From an architecture to measured outputs: recipes, losses, augmentation, the training loop with its checkpoints, and
the executors that run trainings. The choice of architectures to train is elsewhere, in `search`."""
