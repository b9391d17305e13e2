"""Search by time: how far to train which networks, so that the best ones are trained to the top when the time ends."""
