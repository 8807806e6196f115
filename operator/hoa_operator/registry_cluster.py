"""One registry belongs to one Kubernetes cluster: two with the same installation name would end each other's leader and
close each other's tenants. docs/adr/0013-one-cluster-per-registry.md says why it is decided like this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from psycopg import errors

from hoa_operator.errors import ForeignRegistry, WorldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from hoa_operator.postgres.connections import Connection

#: What a registry belongs to that an earlier build has written, in the words of `take-over`.
UNRECORDED: Final = "unrecorded"
BUSY: Final = (
    "another operator's transaction holds the epoch in the registry's database; it is asked for again; should it last, end that "
    "session (pg_locks says whose it is)"
)
_EPOCH: Final = (
    "SELECT to_jsonb(e) ->> 'cluster' AS cluster, holder, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    " AS since FROM public.operator_epoch e"
)
_LIVING: Final = "SELECT uid FROM public.tenants WHERE state <> 'Deleted'"
#: The number rises with a takeover: whoever led until now writes nothing more.
_CLAIM: Final = (
    "UPDATE public.operator_epoch SET epoch = epoch + CASE WHEN %(taken)s THEN 1 ELSE 0 END, cluster = %(id)s"
    " WHERE cluster IS DISTINCT FROM %(id)s"
)


@dataclass(frozen=True)
class Cluster:
    """The cluster an operator runs in. `tenants` asks it for the uids of its HOATenants; `takes_over` is what a person says the
    registry belongs to, when it shall be this cluster's from now on."""

    id: UUID
    tenants: Callable[[], Awaitable[Collection[UUID]]]
    takes_over: str | None = None


@dataclass(frozen=True)
class Owner:
    """Whose a registry is: `cluster` None where an earlier build has written it. `leader` led it last, since `since`."""

    cluster: UUID | None
    leader: str
    since: str

    @property
    def word(self) -> str:
        """Return what `take-over` calls it."""
        return str(self.cluster) if self.cluster else UNRECORDED


async def admit(connection: Connection, cluster: Cluster) -> bool:
    """Raise ForeignRegistry unless the registry is this cluster's, nobody's, or taken over; tell whether it is still to be
    claimed. Changes nothing."""
    owner = await _owner(connection)
    if owner is None or owner.cluster == cluster.id:
        return owner is None
    if cluster.takes_over is not None:
        if cluster.takes_over.lower() == owner.word:
            return True
        raise ForeignRegistry(
            f"the registry belongs to cluster {owner.word}, not to {cluster.takes_over}; nothing was changed. Look again which "
            "cluster it is that the tenants shall come from, and name that one"
        )
    if owner.cluster is not None:
        raise foreign(owner, cluster.id)
    living = {row["uid"] for row in await (await connection.execute(_LIVING)).fetchall()}
    if living and living.isdisjoint(await cluster.tenants()):
        raise foreign(owner, cluster.id)
    return True


async def claim(connection: Connection, cluster: Cluster) -> None:
    """Write down that the registry is this cluster's; who calls was admitted under the same lock."""
    try:
        await connection.execute(_CLAIM, {"id": cluster.id, "taken": cluster.takes_over is not None})
    except errors.LockNotAvailable as busy:
        raise WorldError("RegistryBusy", BUSY) from busy


async def refuse(connection: Connection, cluster: Cluster) -> None:
    """Raise ForeignRegistry where the registry has become another cluster's since it was started."""
    owner = await _owner(connection)
    if owner is not None and owner.cluster != cluster.id:
        raise foreign(owner, cluster.id)


def foreign(owner: Owner, here: UUID) -> ForeignRegistry:
    """Return the refusal in words."""
    whose = (
        f"belongs to another Kubernetes cluster ({owner.cluster}, this one is {here}"
        if owner.cluster
        else f"holds tenants of which none is a HOATenant of this Kubernetes cluster ({here}"
    )
    return ForeignRegistry(
        f"the registry's database {whose}; {owner.leader} led it last, since {owner.since}). Two clusters on one registry would "
        "close each other's tenants, so nothing is done for any HOATenant here. Give this installation a Postgres server of its "
        "own, or another release name and registry.database; or, if the tenants shall move here for good, end the operator "
        f"there and run `python3 -m hoa_operator take-over {owner.word}` in the operator's pod here: "
        "docs/operations/another-cluster.md"
    )


async def _owner(connection: Connection) -> Owner | None:
    """Return whose the registry is, by either revision of its schema; None where there is none yet."""
    there = await (await connection.execute("SELECT to_regclass('public.operator_epoch') AS found")).fetchone()
    if there is None or there["found"] is None:
        return None
    row = await (await connection.execute(_EPOCH)).fetchone()
    if row is None:
        return None
    return Owner(UUID(row["cluster"]) if row["cluster"] else None, row["holder"], row["since"])
