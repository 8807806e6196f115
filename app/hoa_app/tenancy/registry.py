"""The registry as this process knows it: loaded once, followed by LISTEN, and served from memory while it is away."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row

from hoa_app.logs import get_logger
from hoa_app.metrics import Metrics
from hoa_app.settings import Settings
from hoa_app.tenancy.sealing import SealError, Unsealer
from hoa_app.tenancy.tenant import KEEPALIVES, Branding, Database, KeyRing, Limits, Tenant

COLUMNS = (
    "tenant_id, slug, hosts, display_name, state, placement, tier, limits, branding, database, sealed_password,"
    " sealed_signing_keys, schema_revision"
)
DROPPED = (
    "SELECT tenant_id FROM dropped_tenants d"
    " WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.tenant_id = d.tenant_id) ORDER BY dropped_at"
)
#: All that follow the registry under the same name, whoever has just gone included until Postgres notices.
PODS = (
    "SELECT count(*) AS pods FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user"
    " AND application_name = current_setting('application_name')"
)
RESYNC_SECONDS = 30.0
TIMEOUT_SECONDS = 15.0

log = get_logger()
Row = Mapping[str, Any]
ChangeListener = Callable[[UUID, Tenant | None], None]
TenantListener = Callable[[UUID], None]


class Registry:
    """Tenants by host and by id. `run` keeps it current until cancelled; `find` never waits."""

    def __init__(self, settings: Settings, metrics: Metrics, program: str = "app") -> None:
        # Pods that serve the same tenants carry the same name. Postgres cuts it where it is too long, for all alike.
        self._follower = f"follow-{program}-{settings.only_tenant or 'shared'}"
        self._settings = settings
        self._metrics = metrics
        self._unsealer = Unsealer(settings.sealing_keys_file)
        self._rows: dict[UUID, Row] = {}
        self._unread: set[UUID] = set()
        self._by_host: dict[str, Tenant] = {}
        self._by_id: dict[UUID, Tenant] = {}
        self._side: psycopg.AsyncConnection[DictRow] | None = None
        self._side_lock = asyncio.Lock()
        self.loaded = asyncio.Event()
        self.connected = False
        self.on_change: list[ChangeListener] = []
        self.on_outbox: list[TenantListener] = []
        self.on_crowded: list[TenantListener] = []
        self.on_pods: list[Callable[[int], None]] = []

    def find(self, host: str) -> Tenant | None:
        """The tenant that owns `host` (normalized) and is served, else None."""
        return self._by_host.get(host)

    def get(self, tenant_id: UUID) -> Tenant | None:
        """The tenant with this id, whatever its state."""
        return self._by_id.get(tenant_id)

    def tenants(self) -> list[Tenant]:
        """Every tenant known now."""
        return list(self._by_id.values())

    def owner_of_key(self, kid: str) -> Tenant | None:
        """Whose signing key `kid` is: to tell a foreign token from a forged one."""
        return next((tenant for tenant in self._by_id.values() if tenant.keys.find(kid)), None)

    async def run(self) -> None:
        """Connect, load, follow; when the connection is lost, again with backoff. Ends only by cancellation."""
        delay = 0.2
        while True:
            started = time.monotonic()
            try:
                await self._follow()
            except (psycopg.Error, OSError, TimeoutError, KeyError) as error:
                log.warning("registry is away", error=_first_line(error), serving=len(self._by_host))
            except Exception:
                # Whatever it is, nobody else follows the registry: say it, and try again.
                log.exception("following the registry failed", serving=len(self._by_host))
            finally:
                self._set_connected(False)
            if time.monotonic() - started > RESYNC_SECONDS:
                delay = 0.2
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects, hides nothing
            delay = min(delay * 2, 10.0)

    async def _follow(self) -> None:
        async with await self._connect(self._follower) as connection:
            for channel in ("hoa_tenants", "hoa_crowded", "hoa_pods", *(["hoa_outbox"] if self.on_outbox else [])):
                await connection.execute(f"LISTEN {channel}")
            # Before this one serves anything the others make room for it.
            await connection.execute("NOTIFY hoa_pods")
            while True:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._load(connection)
                    await self._count(connection)
                self._set_connected(True)
                await self._follow_until(connection, time.monotonic() + RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    async def _follow_until(self, connection: psycopg.AsyncConnection[DictRow], deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            changed: set[UUID] = set()
            recount = False
            async for notice in connection.notifies(timeout=left, stop_after=1):
                recount = recount or notice.channel == "hoa_pods"
                tenant_id = _uuid(notice.payload)
                if tenant_id is None:
                    continue
                if notice.channel == "hoa_tenants":
                    changed.add(tenant_id)
                for listener in self._listeners(notice.channel):
                    listener(tenant_id)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if changed:
                    await self._refresh(connection, changed)
                if recount:
                    await self._count(connection)

    def _listeners(self, channel: str) -> list[TenantListener]:
        return {"hoa_outbox": self.on_outbox, "hoa_crowded": self.on_crowded}.get(channel, [])

    async def _count(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        """Say how many pods serve the same tenants."""
        row = await (await connection.execute(PODS)).fetchone()
        for listener in self.on_pods:
            listener(row["pods"] if row else 1)

    async def _load(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        cursor = await connection.execute(f"SELECT {COLUMNS} FROM tenants")  # noqa: S608 - a constant
        rows = {row["tenant_id"]: row for row in await cursor.fetchall()}
        self._apply(rows, gone=self._rows.keys() - rows.keys())
        if not self.loaded.is_set():
            log.info("registry loaded", tenants=len(self._by_id))
            self.loaded.set()

    async def _refresh(self, connection: psycopg.AsyncConnection[DictRow], changed: set[UUID]) -> None:
        cursor = await connection.execute(
            f"SELECT {COLUMNS} FROM tenants WHERE tenant_id = ANY(%s)",  # noqa: S608 - a constant
            (list(changed),),
        )
        rows = {row["tenant_id"]: row for row in await cursor.fetchall()}
        self._apply(rows, gone=changed - rows.keys())

    def _apply(self, rows: Mapping[UUID, Row], gone: set[UUID]) -> None:
        changed = {
            tenant_id: row
            for tenant_id, row in rows.items()
            if tenant_id in self._unread or self._rows.get(tenant_id) != row
        }
        self._unread -= rows.keys() | gone
        for tenant_id, row in changed.items():
            self._put(tenant_id, self._parse(row))
            self._rows[tenant_id] = row  # known only now: a row whose reading broke is read again
        for tenant_id in gone:
            self._rows.pop(tenant_id, None)
            self._put(tenant_id, None)
        if changed or gone:
            self._by_host = {
                host: tenant for tenant in self._by_id.values() if self._serves(tenant) for host in tenant.hosts
            }
            self._metrics.registry_tenants.set(len(self._by_id))

    def _put(self, tenant_id: UUID, tenant: Tenant | None) -> None:
        if tenant is None:
            if self._by_id.pop(tenant_id, None) is None:
                return
            self._metrics.forget_tenant(str(tenant_id))
        else:
            self._by_id[tenant_id] = tenant
        for listener in self.on_change:
            try:
                listener(tenant_id, tenant)
            except Exception:
                # What one of them cannot do keeps neither the others nor the registry from going on.
                log.exception("a change of the registry was not followed", tenant=str(tenant_id))

    def _serves(self, tenant: Tenant) -> bool:
        return tenant.served and self._settings.only_tenant in (None, tenant.slug)

    def _parse(self, row: Row) -> Tenant | None:
        """A row that cannot be used is as good as none: its tenant is not served, the others are."""
        if row["state"] in ("Deleting", "Deleted") or not row["sealed_password"] or not row["sealed_signing_keys"]:
            return None
        try:
            return parse_tenant(row, self._secrets_of(row), self._settings)
        except (SealError, KeyError, TypeError, ValueError) as error:
            log.error("registry row cannot be used", tenant=str(row["tenant_id"]), error=_first_line(error))
            return None

    def _secrets_of(self, row: Row) -> Secrets:
        """What is sealed in the row. While no mounted key opens it, which a key that comes late may, what was known before
        serves on for the same login, and the row is read again at the next look; raises SealError if nothing was known."""
        known = self._by_id.get(row["tenant_id"])
        try:
            found = unseal(row, self._unsealer)
            return found._replace(keys=found.keys.following(known.keys, time.time())) if known is not None else found
        except SealError as error:
            self._unread.add(row["tenant_id"])
            if known is None or known.database.username != row["database"].get("username"):
                raise
            log.error(
                "sealed secrets cannot be read; those known before are used", tenant=known.id_text, error=str(error)
            )
            return Secrets(known.database.password, known.keys)

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self._metrics.registry_up.set(connected)

    async def _connect(self, purpose: str) -> psycopg.AsyncConnection[DictRow]:
        return await psycopg.AsyncConnection[DictRow].connect(
            **read_connection_directory(self._settings.registry_dir),
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=5,
            tcp_user_timeout=10_000,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            options=KEEPALIVES,
            application_name=f"hoa-{purpose}",
        )

    async def dropped(self) -> list[UUID]:
        """Whose database the operator has put on record as dropped, and who has no row. A tenant without a row is not among
        them for that: the row may have been lost. Nobody is, in the registry of an operator that keeps no record yet.
        """
        try:
            return [row["tenant_id"] for row in await self.execute(DROPPED)]
        except psycopg.errors.UndefinedTable:
            return []

    async def execute(self, query: str, parameters: tuple[object, ...] = ()) -> list[DictRow]:
        """Run one statement on a connection of its own (NOTIFY, a ping), and return its rows; reconnects once when it was
        lost.
        """
        async with self._side_lock, asyncio.timeout(5):
            try:
                return await self._execute(query, parameters)
            except psycopg.OperationalError:
                await self._close_side()
                return await self._execute(query, parameters)

    async def _execute(self, query: str, parameters: tuple[object, ...]) -> list[DictRow]:
        if self._side is None or self._side.closed:
            self._side = await self._connect("side")
        cursor = await self._side.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Close what `execute` opened."""
        async with self._side_lock:
            await self._close_side()

    async def _close_side(self) -> None:
        if self._side is not None:
            await self._side.close()
            self._side = None


class Secrets(NamedTuple):
    """What a row holds sealed."""

    password: str
    keys: KeyRing


def unseal(row: Row, unsealer: Unsealer) -> Secrets:
    """Open what a row holds sealed; raises SealError."""
    password = unsealer.open(bytes(row["sealed_password"])).decode()
    return Secrets(password, unsealer.signing_keys(bytes(row["sealed_signing_keys"])))


def parse_tenant(row: Row, secrets: Secrets, settings: Settings) -> Tenant:
    """One row of the registry as a Tenant; raises KeyError, TypeError or ValueError."""
    database = row["database"]
    hosts = tuple(str(host).lower() for host in row["hosts"])
    return Tenant(
        id=row["tenant_id"],
        slug=row["slug"],
        hosts=hosts,
        display_name=row["display_name"],
        state=row["state"],
        tier=row["tier"],
        placement=row["placement"],
        limits=Limits.parse(row["limits"] or {}),
        branding=Branding.parse(row["branding"] or {}),
        database=Database(
            host=str(database["host"]),
            port=int(database["port"]),
            dbname=str(database["dbname"]),
            username=str(database["username"]),
            sslmode=str(database.get("sslmode", "prefer")),
            password=secrets.password,
        ),
        keys=secrets.keys,
        schema_revision=row["schema_revision"],
        base_url=f"{settings.url_scheme}://{hosts[0]}{settings.port_suffix}" if hosts else "",
    )


def read_connection_directory(directory: Path) -> dict[str, Any]:
    """A mounted Secret with one file per libpq parameter, as psycopg's keyword arguments. Read at every connect."""
    names = {"host": "host", "port": "port", "dbname": "dbname", "username": "user", "password": "password"}
    found = {option: (directory / name).read_text(encoding="utf-8").strip() for name, option in names.items()}
    sslmode = directory / "sslmode"
    if sslmode.exists():
        found["sslmode"] = sslmode.read_text(encoding="utf-8").strip()
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
