"""A table of every network of a space, trained beforehand, that stands in for training in benchmarks."""
