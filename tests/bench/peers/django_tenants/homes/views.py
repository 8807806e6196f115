"""Reads and a write for people who are signed in with Django's own session."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Lower
from django.forms import ModelForm
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from homes.models import AuditEntry, Community, Invitation, Person, Setting
from homes.people import as_json, by_name
from homes.people import people as everyone

if TYPE_CHECKING:
    from django.http import HttpRequest

PAGE = 50


class PersonForm(ModelForm):
    """What may be said about a new person."""

    class Meta:
        model = Person
        fields = ["name", "email", "phone", "mailing_address"]


@require_safe
@login_required
def one(request: HttpRequest, person_id: UUID) -> HttpResponse:
    """One person."""
    _allow(request, "people:read")
    return JsonResponse(as_json(get_object_or_404(everyone(), pk=person_id)))


@require_http_methods(["GET", "POST"])
@login_required
def people(request: HttpRequest) -> HttpResponse:
    """A page of people, or a new one."""
    if request.method == "POST":
        return _add(request)
    _allow(request, "people:read")
    limit = int(request.GET.get("limit", PAGE))
    found = list(by_name()[: limit + 1])
    more = str(found[limit - 1].id) if len(found) > limit else None
    return JsonResponse({"items": [as_json(person) for person in found[:limit]], "next": more})


def _add(request: HttpRequest) -> HttpResponse:
    _allow(request, "people:write")
    form = PersonForm(json.loads(request.body))
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    with transaction.atomic():
        person = form.save()
        AuditEntry.objects.create(
            actor_id=request.user.pk,
            actor_label=request.user.email,
            action="people.created",
            subject_type="person",
            subject_id=str(person.pk),
            detail={"name": person.name},
        )
        made: Any = everyone().get(pk=person.pk)
    return JsonResponse(as_json(made), status=201)


@require_safe
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """The list as people see it."""
    _allow(request, "people:read")
    Setting.objects.filter(key="time_zone").first()
    found = list(by_name()[: PAGE + 1])
    communities = list(Community.objects.order_by(Lower("name")).values_list("id", "name"))
    invited = [person.id for person in found if person.portal == "Invited"]
    list(Invitation.objects.filter(person__in=invited, accepted_at=None, revoked_at=None).values("id", "person_id"))
    user = request.user
    context = {
        "people": SimpleNamespace(items=found[:PAGE], next="more"),
        "communities": communities,
        "actor": SimpleNamespace(name=user.name, email=user.email, role=SimpleNamespace(label=user.role)),
        "path": request.path,
    }
    return render(request, "list.html", context)


def _allow(request: HttpRequest, permission: str) -> None:
    if not request.user.can(permission):
        raise PermissionDenied
