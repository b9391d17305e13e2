"""Description of one network, and its exact cost: stem, stages and exit branches with a text form, the units they are
built from, layer formulas, MACs, parameters and memory. Independent of search spaces, images, training and torch."""
