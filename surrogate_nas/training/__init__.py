"""From an architecture to measured outputs: recipes, losses, augmentation, the training loop with its checkpoints, and
the executors that run trainings. What is trained next is not decided here."""
