"""Search strategies, which propose the next architectures to train from the records so far. The function that trains is
an argument, never an import; surrogates are fitted in their own room."""
