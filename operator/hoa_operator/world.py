"""The world of one tenant, read once and never changed: what `plan` decides on and `status` reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hoa_operator import names
from hoa_operator.budget import Verdict
from hoa_operator.kinds import SECRET, is_owned_by, name_of
from hoa_operator.manifests.secrets import Credentials, read_credentials
from hoa_operator.postgres.model import DatabaseIdentity, DatabaseSpec
from hoa_operator.postgres.names import APP, app_login_of
from hoa_operator.rotation import AppLogins, other

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.certificates import Certificate, Fault
    from hoa_operator.kinds import Kind, Object
    from hoa_operator.postgres.model import ObservedDatabase, Usage
    from hoa_operator.registry_model import Placement, RegistryRow, Retained
    from hoa_operator.settings import Settings
    from hoa_operator.target import Target


@dataclass(frozen=True)
class RowSecrets:
    """What the registry row's tokens hold, and which app login they are for; `newest_key` tells whether the newest sealing
    key sealed them."""

    app_password: str = field(repr=False)
    signing_keys: str = field(repr=False)
    newest_key: bool
    login: str = APP


@dataclass(frozen=True)
class Record:
    """What the registry says of the tenant.

    Of one that has no row yet: `kept` is the row it is about to take over, `void` the earlier claims on it that count no more,
    `others` what is retained under its name besides, `dropping` what cannot come back any more, `void_row` a row of its name or
    its data that counts no more, `lost` the id of the data that its status says it has.
    """

    row: RegistryRow | None
    placement: Placement | None
    secrets: RowSecrets | None
    kept: RegistryRow | None = None
    void: tuple[UUID, ...] = ()
    others: tuple[Retained, ...] = ()
    void_row: RegistryRow | None = None
    dropping: tuple[Retained, ...] = ()
    lost: UUID | None = None


@dataclass(frozen=True)
class Children:
    """The live objects that are the tenant's by their label or their owner, by kind."""

    by_kind: Mapping[Kind, tuple[Object, ...]]

    def get(self, kind: Kind, name: str) -> Object | None:
        """Return the object of that name, whoever owns it."""
        return next((item for item in self.by_kind.get(kind, ()) if name_of(item) == name), None)

    def owned(self, kind: Kind, uid: str) -> tuple[Object, ...]:
        """Return the tenant's own objects of the kind."""
        return tuple(item for item in self.by_kind.get(kind, ()) if is_owned_by(item, uid))


class Trouble(NamedTuple):
    """What an error said. The error itself would keep all that was at work when it was raised, connections and all, for as
    long as it is remembered."""

    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """What a look inside showed. `refused` says that a password was changed behind the operator's back, `trouble` what
    kept the figures from being read: that stops nothing, for the database's owner could bring it about. `later` says that
    nobody looked yet, because there are others first: what was known before still stands."""

    usage: Usage | None = None
    refused: bool = False
    trouble: Trouble | None = None
    later: bool = False


@dataclass(frozen=True)
class Domains:
    """What is known of the certificates of the tenant's own domains: what each TLS Secret holds, by the Secret's name (one
    that is missing is not there), and which certificates may be asked for."""

    secrets: Mapping[str, Certificate | Fault] = field(default_factory=dict)
    budget: Verdict = field(default_factory=Verdict)


@dataclass(frozen=True)
class Behind:
    """Data of an earlier tenant of the same name, in words; `lost` when its drop has begun, so that it cannot come back."""

    words: str
    lost: bool = False


@dataclass(frozen=True)
class World:
    """Everything one reconcile looks at. `turn` says that a migration Job may be started now, `kept_behind` what is retained
    of earlier tenants of this name, for people, `passed_on` which hosts of the row the spec names no more and another
    HOATenant's does."""

    settings: Settings
    body: Mapping[str, Any]
    target: Target
    record: Record
    database: ObservedDatabase
    reading: Reading
    children: Children
    shared_app: Object | None
    turn: bool
    now: datetime
    kept_behind: tuple[Behind, ...] = ()
    passed_on: frozenset[str] = frozenset()
    domains: Domains = field(default_factory=Domains)

    @property
    def row(self) -> RegistryRow | None:
        """Return the registry's row."""
        return self.record.row

    @property
    def usage(self) -> Usage | None:
        """Return what the tenant's database said of its use, last."""
        return self.reading.usage

    @property
    def uid(self) -> str:
        """Return the HOATenant's uid as Kubernetes writes it."""
        return str(self.target.identity.uid)

    @property
    def name(self) -> str:
        """Return the HOATenant's name."""
        return self.target.identity.name

    @property
    def revision(self) -> str | None:
        """Return the schema revision that the last successful migration reported."""
        return self.row.schema_revision if self.row else None

    @property
    def credentials(self) -> Credentials | None:
        """Return what the credentials Secret holds; None when it is missing or unreadable."""
        secret = self.children.get(SECRET, names.credentials_secret(self.name))
        if secret is None or not is_owned_by(secret, self.uid):
            return None
        return read_credentials(secret.get("data") or {})

    @property
    def app_logins(self) -> AppLogins:
        """Return how the app's logins stand; without a readable Secret the current one is the registered one."""
        row, credentials = self.row, self.credentials
        registered = registered_login(row or self.record.kept)
        current = credentials.login if credentials else registered or APP
        return AppLogins(
            current=current,
            registered=registered,
            since=row.login_since if row else None,
            age=row.login_age if row else None,
            other_open=self.database.role(other(current)).can_login,
            other_used=self.database.role(other(current)).sessions > 0,
            suspended=self.target.spec.state == "Suspended",
        )

    @property
    def is_overlapping(self) -> bool:
        """Tell whether the login before the last rotation may still be used."""
        return self.app_logins.overlapping(self.settings.timing.credentials_overlap)

    def database_spec(self, credentials: Credentials | None) -> DatabaseSpec:
        """Return what the database shall be; without credentials, passwords stay as they are."""
        target, logins = self.target, self.app_logins
        wanted = self.settings.app.schema_revision
        return DatabaseSpec(
            identity=DatabaseIdentity(target.tenant_id, target.identity.uid, self.settings.installation),
            connection_limit=target.limits.database_connections,
            statement_timeout_ms=target.limits.statement_timeout_ms,
            read_only=target.spec.state == "ReadOnly",
            suspended=logins.suspended,
            login=logins.current,
            overlapping=self.is_overlapping,
            template=wanted if target.server.template_revision == wanted else None,
            app_password=credentials.app_password if credentials else "",
            migrator_password=credentials.migrator_password if credentials else "",
            extensions=target.spec.database.extensions,
        )


def registered_login(row: RegistryRow | None) -> str | None:
    """Return which app login the registry names, or None."""
    return app_login_of(row.tenant_id, row.database.get("username")) if row is not None else None
