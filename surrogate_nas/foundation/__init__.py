"""General helpers, independent of neural networks: errors, configuration fields, files, locks, threads, machine
resources, progress. A module that mentions an exit does not belong here."""
