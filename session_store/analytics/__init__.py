"""Selects for analysts."""
