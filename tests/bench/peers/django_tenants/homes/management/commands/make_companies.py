"""Make companies with their schemas, one a line of stdin: each is answered by its own line once it is there."""

from __future__ import annotations

import sys

from company.models import Company
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Saving a company makes its schema, and migrates or clones it, as the settings say."""

    def handle(self, *_: object, **__: object) -> None:
        """Make what is asked for until nobody asks any more."""
        for line in sys.stdin:
            slug = line.strip()
            Company(schema_name=slug, name=slug).save(verbosity=0)
            self.stdout.write(slug)
            self.stdout.flush()
