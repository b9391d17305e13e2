"""The values that describe one network, and its exact cost: stem, stages and exit branches with a text form, the units
they are built from, layer formulas, MACs, parameters and memory. Nothing here knows of search spaces, images, training
or torch."""
