"""Search strategies: they propose the architectures to train next from the records so far. Training is an
argument, never an import."""
