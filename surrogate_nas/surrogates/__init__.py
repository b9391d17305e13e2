"""Surrogates that predict what each exit of an untrained network would do."""
