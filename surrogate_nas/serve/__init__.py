"""Server of a study over HTTP: its report while it runs, its networks along their threshold curves, and what-if
predictions. It reads a copy of the study and never writes to the study."""
