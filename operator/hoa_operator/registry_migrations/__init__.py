"""The registry's own alembic history; the operator alone runs it, at start, under an advisory lock."""
