"""Secrets: the tenant's credentials, which are the source of truth, and libpq's variables for a migration Job."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hoa_operator import names
from hoa_operator.kinds import SECRET
from hoa_operator.manifests.meta import Family, Manifest, stamped

if TYPE_CHECKING:
    from collections.abc import Mapping

APP_PASSWORD = "app-password"  # noqa: S105 - the key's name
MIGRATOR_PASSWORD = "migrator-password"  # noqa: S105 - the key's name
SIGNING_KEYS = "signing-keys"


@dataclass(frozen=True)
class Credentials:
    """A tenant's secrets; `signing_keys` is the JSON of contract section 1."""

    app_password: str = field(repr=False)
    migrator_password: str = field(repr=False)
    signing_keys: str = field(repr=False)


@dataclass(frozen=True)
class Connection:
    """How a Job reaches its database as its migrator."""

    host: str
    port: int
    dbname: str
    username: str
    sslmode: str
    password: str = field(repr=False)


def credentials_secret(family: Family, name: str, credentials: Credentials) -> Manifest:
    """Build the Secret that passwords and signing keys are read from ever after."""
    return _secret(
        family,
        name,
        "tenant",
        {
            APP_PASSWORD: credentials.app_password,
            MIGRATOR_PASSWORD: credentials.migrator_password,
            SIGNING_KEYS: credentials.signing_keys,
        },
    )


def read_credentials(data: Mapping[str, str]) -> Credentials | None:
    """Read what a Secret holds; None if a key is missing, empty or no base64: then it counts as deleted."""
    try:
        texts = [
            base64.b64decode(data[key], validate=True).decode()
            for key in (APP_PASSWORD, MIGRATOR_PASSWORD, SIGNING_KEYS)
        ]
    except (KeyError, ValueError):
        return None
    return Credentials(*texts) if all(texts) else None


def read_password(data: Mapping[str, str]) -> str | None:
    """Read the password of a Job's Secret; None if there is none."""
    try:
        return base64.b64decode(data["PGPASSWORD"], validate=True).decode() or None
    except (KeyError, ValueError):
        return None


def connection_secret(family: Family, name: str, connection: Connection, migrated: str | None = None) -> Manifest:
    """Build the Secret for a Job's `envFrom`; `migrated` records what the last successful Job was for."""
    return _secret(
        family,
        name,
        "migration",
        {
            "PGHOST": connection.host,
            "PGPORT": str(connection.port),
            "PGDATABASE": connection.dbname,
            "PGUSER": connection.username,
            "PGPASSWORD": connection.password,
            "PGSSLMODE": connection.sslmode,
        },
        {names.ANNOTATION_MIGRATED: migrated} if migrated else None,
    )


def _secret(
    family: Family, name: str, component: str, data: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> Manifest:
    return stamped(
        {
            "apiVersion": SECRET.api_version,
            "kind": SECRET.kind,
            "metadata": family.metadata(name, component, annotations),
            "type": "Opaque",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
    )
