"""Search strategies: they propose the architectures to train next from the records so far. Training is an
argument, never an import; surrogates are fitted in their own room."""
