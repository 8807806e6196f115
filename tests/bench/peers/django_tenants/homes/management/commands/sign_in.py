"""Sign users of a company in: `sign_in SLUG COUNT` prints the keys of their sessions, a line each."""

from __future__ import annotations

from typing import Any

from company.models import Company
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.management.base import BaseCommand

from homes.models import User


class Command(BaseCommand):
    """As django.contrib.auth.login leaves a session."""

    def add_arguments(self, parser: Any) -> None:
        """Whose."""
        parser.add_argument("slug")
        parser.add_argument("count", type=int)

    def handle(self, *_: object, slug: str, count: int, **__: object) -> None:
        """Make sessions."""
        with Company.objects.get(schema_name=slug):
            for user in User.objects.filter(email__startswith="staff").order_by("id")[:count]:
                session = SessionStore()
                session[SESSION_KEY] = str(user.pk)
                session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
                session[HASH_SESSION_KEY] = user.get_session_auth_hash()
                session.create()
                self.stdout.write(str(session.session_key))
