"""Search spaces: which architectures there are, their encodings, moves between them, sampling within exact limits, and
costs of many encodings at once. Needs neither torch nor any other heavy library."""
