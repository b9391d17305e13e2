"""A study on a page: its report while it runs, its networks along their threshold curves, and what-if predictions."""
