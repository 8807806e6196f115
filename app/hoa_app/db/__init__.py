"""The way to a tenant's own database."""
