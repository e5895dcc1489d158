"""Values, errors and protocols: everything a caller sees of the store. Imports nothing else of the package."""
