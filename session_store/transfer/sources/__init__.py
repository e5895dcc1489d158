"""Importers for the stores of other programs."""
