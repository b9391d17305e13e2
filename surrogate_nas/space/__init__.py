"""Search spaces: their architectures, encodings, moves between them, sampling within exact limits, and costs of many
encodings at once. Imports neither torch nor any other heavy library."""
