"""Revisions of the registry: four digits, one line."""
