"""What a company's host answers."""

from __future__ import annotations

from django.urls import path
from homes import views

urlpatterns = [
    path("api/v1/people/<uuid:person_id>", views.one),
    path("api/v1/people", views.people),
    path("people", views.page),
]
