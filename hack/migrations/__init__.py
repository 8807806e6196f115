"""Holds migrations to expand and contract (docs/adr/0006): reads the SQL that each revision would run, without running it."""
