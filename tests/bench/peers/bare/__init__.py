"""The limit: Starlette and psycopg's pool with the app's own SQL and nothing else."""
