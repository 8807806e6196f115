"""Names of everything the operator makes in Postgres (contract section 3), and the keys of its advisory locks.

Names hold the tenant id only: the catalogs show every name to everyone who can log in.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNER: Final = "owner"
MIGRATOR: Final = "migrator"
WRITER: Final = "writer"
APP: Final = "app"
#: The app's second login, made when credentials are rotated for the first time: a member of the first, whose grants it uses.
APP_B: Final = "app_b"
ROLE_KINDS: Final = (OWNER, MIGRATOR, WRITER, APP, APP_B)
APP_LOGINS: Final = (APP, APP_B)
LOGINS: Final = (MIGRATOR, *APP_LOGINS)

TENANT_PREFIX: Final = "hoa_connect_tenant_"
TOMBSTONE_PREFIX: Final = "hoa_connect_deleted_"
TEMPLATE_PREFIX: Final = "hoa_connect_template_"
TEMPLATE_OWNER: Final = f"{TEMPLATE_PREFIX}owner"
TEMPLATE_MIGRATOR: Final = f"{TEMPLATE_PREFIX}migrator"
REGISTRY_DATABASE: Final = "hoa_connect_registry"
REGISTRY_READER: Final = "hoa_connect_registry_reader"

APPLICATION_PREFIX: Final = "hoa-operator/"


def application_prefix(installation: str) -> str:
    """What the names of an installation's sessions begin with: short, for the server cuts names at 63 bytes."""
    return f"{APPLICATION_PREFIX}{hashlib.sha256(installation.encode()).hexdigest()[:8]}/"


def application_name(installation: str, identity: str) -> str:
    """Name of the sessions of one operator instance; a pod's name differs from another's at its end."""
    prefix = application_prefix(installation)
    return prefix + identity[-(63 - len(prefix)) :]


def database_name(tenant_id: UUID) -> str:
    """Name of a tenant's live database."""
    return f"{TENANT_PREFIX}{tenant_id.hex}"


def tombstone_name(tenant_id: UUID) -> str:
    """Name of a tenant's retained database."""
    return f"{TOMBSTONE_PREFIX}{tenant_id.hex}"


def role_name(tenant_id: UUID, kind: str) -> str:
    """Name of one of a tenant's roles; `kind` is one of `ROLE_KINDS`."""
    return f"{TENANT_PREFIX}{tenant_id.hex}_{kind}"


def role_names(tenant_id: UUID) -> Mapping[str, str]:
    """Role names of a tenant by kind."""
    return {kind: role_name(tenant_id, kind) for kind in ROLE_KINDS}


def app_login_of(tenant_id: UUID, role: object) -> str | None:
    """Return which of the tenant's app logins a role's name is, or None."""
    return next((kind for kind in APP_LOGINS if role == role_name(tenant_id, kind)), None)


def template_name(revision: str) -> str:
    """Name of the template database that holds the schema at `revision`."""
    return f"{TEMPLATE_PREFIX}{revision}"


def lock_key(scope: str, name: str) -> int:
    """Signed 64-bit advisory lock key for `name` within `scope` (`tenant`, `template`, `registry`, `server`)."""
    digest = hashlib.sha256(f"hoa-connect/{scope}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def tenant_id_of(name: str) -> UUID | None:
    """Return the tenant id in the name of a live or retained database, or None."""
    for prefix in (TENANT_PREFIX, TOMBSTONE_PREFIX):
        if name.startswith(prefix):
            return _parse(name.removeprefix(prefix))
    return None


def tenant_id_of_role(name: str) -> UUID | None:
    """Return the tenant id in the name of a tenant's role of any kind, or None."""
    return _parse(name.removeprefix(TENANT_PREFIX).partition("_")[0]) if name.startswith(TENANT_PREFIX) else None


def _parse(digits: str) -> UUID | None:
    try:
        return UUID(hex=digits)
    except ValueError:
        return None
