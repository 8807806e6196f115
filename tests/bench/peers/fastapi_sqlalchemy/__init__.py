"""FastAPI and SQLAlchemy on asyncpg: an engine per tenant, each with a database of its own."""
