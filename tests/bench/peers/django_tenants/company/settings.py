"""Django as its documentation and that of django-tenants say for production, set by the environment."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only for measuring")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "company.urls"
USE_TZ = True

SHARED_APPS = ["django_tenants", "company"]
TENANT_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "homes"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "company.Company"
TENANT_DOMAIN_MODEL = "company.Domain"
TENANT_LIMIT_SET_CALLS = True  # django-tenants: SET search_path once a request, not once a query
if base := os.environ.get("BASE_SCHEMA"):  # django-tenants: clone a schema instead of running every migration
    TENANT_BASE_SCHEMA, TENANT_CREATION_FAKES_MIGRATIONS = base, True
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DATABASES = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
        "USER": os.environ.get("PGUSER", ""),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "NAME": os.environ.get("PGDATABASE", ""),
        "CONN_MAX_AGE": None,  # persistent: one connection a thread, kept for good
    }
}

AUTH_USER_MODEL = "homes.User"
MIDDLEWARE = [
    "django_tenants.middleware.main.TenantMainMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# Jinja, by Django's own backend: faster than Django's own language, and the page is the very same for everyone.
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"environment": "homes.pages.environment"},
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
