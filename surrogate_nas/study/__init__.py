"""A study: its folder, and the verbs of the package (collect, fit, search, query, finalize, verify, ...) on one object.
Pages, exports, servers and commands are in rooms of their own."""
