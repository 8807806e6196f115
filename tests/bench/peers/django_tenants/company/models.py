"""Companies and the hosts they are reached at, in the schema that all share."""

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Company(TenantMixin):
    """One management company; saving it makes its schema."""

    name = models.TextField()
    auto_create_schema = True


class Domain(DomainMixin):
    """A host of a company."""
