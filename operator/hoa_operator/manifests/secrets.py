"""Secrets: the tenant's credentials, which are the source of truth, and libpq's variables for a migration Job."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hoa_operator import names
from hoa_operator.kinds import SECRET, annotations_of
from hoa_operator.manifests.meta import Family, Manifest, stamped
from hoa_operator.postgres.names import APP, APP_LOGINS
from hoa_operator.signing import decode_signing_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hoa_operator.kinds import Object
    from hoa_operator.signing import SigningKey

APP_PASSWORD = "app-password"  # noqa: S105 - the key's name
MIGRATOR_PASSWORD = "migrator-password"  # noqa: S105 - the key's name
SIGNING_KEYS = "signing-keys"
APP_LOGIN = "app-login"


@dataclass(frozen=True)
class Credentials:
    """A tenant's secrets; `signing_keys` is the JSON of contract section 1, `login` the app login the password is for."""

    app_password: str = field(repr=False)
    migrator_password: str = field(repr=False)
    signing_keys: str = field(repr=False)
    login: str = APP

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """Return the signing keys, newest first."""
        return decode_signing_keys(self.signing_keys)

    @property
    def rotated_at(self) -> datetime:
        """Return when all of it was made or last rotated: each rotation makes a signing key."""
        return self.keys[0].created_at


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
        credentials_data(credentials),
    )


def credentials_data(credentials: Credentials) -> dict[str, str]:
    """Return what the Secret holds. One from before there was a second login says nothing of it, and is left like that."""
    second = {} if credentials.login == APP else {APP_LOGIN: credentials.login}
    return {
        APP_PASSWORD: credentials.app_password,
        MIGRATOR_PASSWORD: credentials.migrator_password,
        SIGNING_KEYS: credentials.signing_keys,
        **second,
    }


def credentials_patch(credentials: Credentials) -> dict[str, str | None]:
    """Return the merge patch of the Secret's `data`."""
    return {APP_LOGIN: None} | _encoded(credentials_data(credentials))


def read_credentials(data: Mapping[str, str]) -> Credentials | None:
    """Read what a Secret holds; None if a key is missing, empty, no base64 or not what it shall be: then it counts as
    deleted."""
    try:
        app, migrator, keys = (_text(data, key) for key in (APP_PASSWORD, MIGRATOR_PASSWORD, SIGNING_KEYS))
        found = Credentials(app, migrator, keys, _text(data, APP_LOGIN) if APP_LOGIN in data else APP)
        complete = bool(app and migrator and found.login in APP_LOGINS and found.keys)
    except (KeyError, ValueError):
        return None
    return found if complete else None


def _text(data: Mapping[str, str], key: str) -> str:
    return base64.b64decode(data[key], validate=True).decode()


def read_password(data: Mapping[str, str]) -> str | None:
    """Read the password of a Job's Secret; None if there is none."""
    try:
        return base64.b64decode(data["PGPASSWORD"], validate=True).decode() or None
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True)
class Marks:
    """What the migrator's Secret remembers: what the last successful migration was for, the attempt begun since, and what that
    success said of the admin's invitation."""

    migrated: str | None = None
    begun: int | None = None
    invitation: str | None = None

    @classmethod
    def read(cls, secret: Object | None) -> Marks:
        """Read them off a live Secret; somebody else's words are no attempt."""
        found = annotations_of(secret) if secret else {}
        begun = found.get(names.ANNOTATION_BEGUN, "")
        return cls(
            found.get(names.ANNOTATION_MIGRATED),
            int(begun) if begun.isdecimal() else None,
            found.get(names.ANNOTATION_INVITATION),
        )

    def annotations(self) -> dict[str, str]:
        """Return them as the Secret carries them."""
        known = {
            names.ANNOTATION_MIGRATED: self.migrated,
            names.ANNOTATION_BEGUN: str(self.begun) if self.begun else None,
            names.ANNOTATION_INVITATION: self.invitation,
        }
        return {name: value for name, value in known.items() if value}


NO_MARKS: Final = Marks()


def connection_secret(family: Family, name: str, connection: Connection, marks: Marks = NO_MARKS) -> Manifest:
    """Build the Secret for a Job's `envFrom`."""
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
        marks.annotations() or None,
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
            "data": _encoded(data),
        }
    )


def _encoded(data: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
