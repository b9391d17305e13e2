"""Statements about new images that hold with a stated probability."""
