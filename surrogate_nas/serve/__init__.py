"""A study on a page: its report while it runs, its networks along their threshold curves, and what-if predictions."""

from surrogate_nas.serve.server import serve

__all__ = ["serve"]
