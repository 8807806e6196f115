"""`python -m hoa_operator orphans`: reads everything, changes nothing, and lists what has no living owner.

Exit code 0: none, and all was read. 3: some. 4: something could not be read, which is said; what was found is listed all the
same. 2: the command or the settings are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hoa_operator import foreign, kube
from hoa_operator.errors import OperatorError
from hoa_operator.fleet import read_login
from hoa_operator.kinds import CHILDREN, POD, SERVER, TENANT, name_of
from hoa_operator.kube import Kube
from hoa_operator.leftovers import Leftover, Look, ServerLook, find
from hoa_operator.metrics import Metrics
from hoa_operator.postgres import PostgresServer
from hoa_operator.registry import Registry
from hoa_operator.registry_model import Retained
from hoa_operator.servers import parse_server
from hoa_operator.tenant import format_time
from hoa_operator.watch import selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hoa_operator.kinds import Kind, Object
    from hoa_operator.postgres import AdminLogin
    from hoa_operator.settings import Settings

NONE: Final = 0
SOME: Final = 3
UNREAD: Final = 4
#: Seconds between two looks.
_AGAIN: Final = 2.0


def parse(arguments: Sequence[str]) -> str:
    """Return the output that is asked for, `text` or `json`; a wrong argument ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m hoa_operator orphans",
        description="List databases, roles, objects and rows of the registry that have no living owner. Changes nothing.",
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text (default) or json")
    return str(parser.parse_args(arguments).output)


async def run(settings: Settings, environ: Mapping[str, str], output: str) -> int:
    """List the orphans on standard output, what could not be read on standard error; return the exit code."""
    client = kube.connect(environ)
    try:
        look, found = await surely(Reader(settings, Kube(client, settings.namespace, _refuse_to_write, Metrics())))
    finally:
        await client.close()
    sys.stdout.write(as_json(look, found) if output == "json" else as_text(look, found))
    for what in look.unread:
        sys.stderr.write(f"could not look: {what}\n")
    return UNREAD if look.unread else SOME if found else NONE


async def surely(reader: Reader) -> tuple[Look, list[Leftover]]:
    """Return what two looks agree on: what is only just coming or going is no orphan."""
    first = await reader.look()
    before = {item.key for item in find(first)}
    if not before:
        return first, []
    await asyncio.sleep(_AGAIN)
    second = await reader.look()
    return second, [item for item in find(second) if item.key in before]


def _refuse_to_write() -> None:
    raise RuntimeError("this command changes nothing")


class Reader:
    """Reads what there is, each part by itself: one that cannot be read keeps no other from being looked at."""

    def __init__(self, settings: Settings, kube: Kube) -> None:
        self._settings = settings
        self._kube = kube
        self._unread: list[str] = []

    async def look(self) -> Look:
        """Read everything. What is made meanwhile is no orphan: a tenant is there before its row, its row before its database,
        and all of them before their objects, so they are read the other way round."""
        children = await self._children()
        bodies = await self._list("HOADatabaseServers", SERVER)
        servers = [found for body in bodies or () if (found := await self._server(body)) is not None]
        login, records = await self._registry()
        tenants = await self._list("HOATenants", TENANT)
        return Look(
            namespace=self._settings.namespace,
            installation=self._settings.installation,
            now=datetime.now(UTC),
            tenants=_by_uid(tenants),
            server_names=_by_uid(bodies),
            children=tuple(children),
            registry=login,
            records=records,
            servers=tuple(servers),
            unread=tuple(dict.fromkeys(self._unread)),
        )

    async def _registry(self) -> tuple[AdminLogin | None, tuple[Retained, ...] | None]:
        settings = self._settings
        registry = Registry(
            settings.registry_dir,
            settings.registry_reader_dir,
            identity=settings.pod_name,
            installation=settings.installation,
        )
        try:
            login = registry.attach()
            # What another cluster's tenants have is nobody's to clear away from here.
            await registry.admit(await foreign.here(self._kube, settings.cluster_namespace))
            rows = await registry.rows()
            placements = {placement.tenant_id: placement for placement in await registry.placements()}
        except OperatorError as error:
            self._missed("the registry", error)
            return None, None
        finally:
            await registry.close()
        return login, tuple(Retained(row, placements.get(row.tenant_id)) for row in rows)

    async def _server(self, body: Object) -> ServerLook | None:
        server, settings = parse_server(body), self._settings
        try:
            login = await read_login(self._kube, server)
            door = PostgresServer(
                login, identity=settings.pod_name, installation=settings.installation, max_sessions=1, read_only=True
            )
            try:
                system = (await door.probe()).system_identifier
                databases, roles = await door.list_tenant_databases(), await door.list_tenant_roles()
                named = await door.list_database_names()
            finally:
                await door.close()
        except OperatorError as error:
            self._missed(f"HOADatabaseServer {server.name}", error)
            return None
        return ServerLook(server.name, login, system, tuple(databases), tuple(roles), named)

    async def _children(self) -> list[Object]:
        found: list[Object] = []
        for kind in CHILDREN:
            if kind is not POD:
                label = selector(kind, self._settings.release)
                found += await self._list(f"{kind.kind}s", kind, label) or ()
        return found

    async def _list(self, what: str, kind: Kind, label: str = "") -> list[Object] | None:
        try:
            items = await self._kube.list_all(kind, label, metadata_only=kind is not SERVER)
        except OperatorError as error:
            self._missed(what, error)
            return None
        return list(items)

    def _missed(self, what: str, error: OperatorError) -> None:
        self._unread.append(f"{what}: {error.reason}: {error.message}")


def _by_uid(items: Sequence[Object] | None) -> dict[str, str] | None:
    return None if items is None else {item["metadata"]["uid"]: name_of(item) for item in items}


def as_json(look: Look, found: Sequence[Leftover]) -> str:
    """Return the list for a program."""
    return json.dumps({"orphans": [item.to_json() for item in found], "unread": list(look.unread)}, indent=2) + "\n"


def as_text(look: Look, found: Sequence[Leftover]) -> str:
    """Return the list for people: one line for each, and a last one that counts."""
    lines = [("KIND", "NAME", "WHERE", "SINCE", "SIZE", "WHY", "WHAT TO DO")] if found else []
    lines += [(i.kind, i.name, i.where, _since(i), _size(i), i.why, i.todo) for i in found]
    widths = [max(len(line[n]) for line in lines) for n in range(6)] if lines else []
    text = "".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]) + "\n" for line in lines
    )
    if look.unread:
        return text + f"{len(found)} found, but not everything could be read\n"
    return text + (
        f"{len(found)} found\n" if found else "No orphans: everything was read, and everything has a living owner\n"
    )


def _since(item: Leftover) -> str:
    return format_time(item.since.astimezone(UTC)) if item.since else "-"


def _size(item: Leftover) -> str:
    return "-" if item.size is None else f"{item.size / 2**20:.0f}Mi"
