"""Trainings of a study: the SQLite file of proposals and records, the held-out outputs of each record, and views that
turn outputs into exits. Nothing here trains, fits or imports torch."""
