"""Helpers that know nothing of networks: errors, configuration fields, files, locks, processes, progress. A module that
names an exit does not belong here."""
