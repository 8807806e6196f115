"""Make companies with their schemas: `make_company SLUG HOST`."""

from __future__ import annotations

from typing import Any

from company.models import Company, Domain
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Saving the company makes its schema and migrates it."""

    def add_arguments(self, parser: Any) -> None:
        """Which."""
        parser.add_argument("slug")
        parser.add_argument("host")

    def handle(self, *_: object, slug: str, host: str, **__: object) -> None:
        """Make it."""
        company = Company(schema_name=slug, name=slug)
        company.save(verbosity=0)
        Domain.objects.create(domain=host, tenant=company, is_primary=True)
