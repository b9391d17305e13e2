"""The command line: commands, their options, and the tables they print. Nothing is decided here; no room imports it."""
