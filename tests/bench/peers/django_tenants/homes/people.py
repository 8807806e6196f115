"""People as pages and the API show them, by Django's query sets."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, DateField, Exists, F, Func, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Collate, Concat, Lower, Now

from homes.models import Invitation, Ownership, Person


class LocalDay(Func):
    """The calendar day where the home stands."""

    template = "(now() AT TIME ZONE %(expressions)s)::date"
    output_field = DateField()


def people() -> QuerySet[Person]:
    """Everyone, with what they own today and whether they can sign in."""
    today = LocalDay("unit__community__time_zone")
    owned = (
        Ownership.objects.filter(person=OuterRef("pk"), valid_from__lte=today)
        .filter(Q(valid_to=None) | Q(valid_to__gt=today))
        .order_by(Lower("unit__community__name"), Collate("unit__sort_key", "C"))
        .values_list(Concat("unit__community__name", Value(" ", output_field=TextField()), "unit__label"))
    )
    invited = Invitation.objects.filter(person=OuterRef("pk"), accepted_at=None, revoked_at=None, expires_at__gt=Now())
    portal = Case(
        When(user__isnull=False, then=Value("Active")),
        When(Exists(invited), then=Value("Invited")),
        default=Value("None"),
    )
    return Person.objects.annotate(units=ArraySubquery(owned), portal=portal, signs_in_as=F("user__email"))


def by_name() -> QuerySet[Person]:
    """In the order of the list."""
    return people().order_by(Collate(Lower("name"), "C"), "id")


def as_json(person: Any) -> dict[str, Any]:
    """One person as the API sends them."""
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "mailingAddress": person.mailing_address,
        "portal": person.portal,
        "units": person.units,
        "version": person.version,
        "userId": person.user_id,
        "signsInAs": person.signs_in_as,
    }
