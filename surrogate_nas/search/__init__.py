"""What to train next: strategies that propose architectures from the records so far. Training is an argument, never an
import."""
