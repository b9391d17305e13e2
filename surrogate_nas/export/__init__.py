"""A trained network made into a folder that runs without this package."""
