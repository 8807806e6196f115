"""What is applied over what: a child as it was seen last, so that a request that comes too late changes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from hoa_operator.apply import Doors, apply, apply_object, patch_source
from hoa_operator.cache import Cache
from hoa_operator.errors import HostTaken, UserError
from hoa_operator.kinds import INGRESS, TENANT, Kind
from hoa_operator.kube import Conflict
from hoa_operator.names import LABEL_MANAGED_BY, MANAGED_BY
from hoa_operator.places import Places
from hoa_operator.registry_model import Retirement
from hoa_operator.removal import subject_of
from hoa_operator.steps import Forget, Register, Retire
from hoa_operator.target import StepFailed
from hoa_operator.usage import UsageBook
from hoa_operator.world import Reading
from tests.unit.operator.samples import NOW, UID, row_of, settings, tenant_body, usage, world

Json = dict[str, Any]
NAME = "tenant-seabreeze"
META: Json = {"name": NAME, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
MANIFEST: Json = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": META, "spec": {"rules": ["new"]}}


class Server:
    """One Ingress as the API server holds it, and what it was asked to apply."""

    def __init__(self, version: int | None, uid: str = "one") -> None:
        self.live = self._stored(version, uid) if version is not None else None
        self.applied: list[Json] = []
        self.refusal: UserError | None = None

    @staticmethod
    def _stored(version: int, uid: str = "one") -> Json:
        return {**MANIFEST, "metadata": {**META, "uid": uid, "resourceVersion": str(version)}}

    async def get(self, kind: Kind, name: str) -> Json | None:
        assert (kind, name) == (INGRESS, NAME)
        return self.live

    async def patch(self, kind: Kind, name: str, body: Json, _subresource: str = "") -> Json:
        assert (kind, name) == (INGRESS, NAME)
        assert self.live is not None
        if body["metadata"]["resourceVersion"] != self.live["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        self.live = self._stored(int(body["metadata"]["resourceVersion"]) + 1)
        return self.live

    async def apply(self, manifest: Json) -> Json:
        self.applied.append(manifest)
        given = manifest["metadata"]
        if self.refusal is not None:
            raise self.refusal
        if self.live is None and "uid" in given:
            raise UserError("ApiServerRefused", "metadata.uid: field is immutable")
        if self.live is not None and "uid" in given:
            known = self.live["metadata"]
            if (given["uid"], given["resourceVersion"]) != (known["uid"], known["resourceVersion"]):
                raise Conflict("the object has been modified")
        version = int(self.live["metadata"]["resourceVersion"]) + 1 if self.live else 1
        self.live = self._stored(version)
        return self.live


def doors(server: Server, seen: Json | None) -> tuple[Doors, Cache]:
    cache = Cache()
    if seen is not None:
        cache.observe(INGRESS, seen)
    sources: Any = SimpleNamespace(cache=cache)
    kube: Any = server
    return Doors(sources, kube, 1, lambda _: None), cache


def version_in(cache: Cache) -> str | None:
    known = cache.get(INGRESS, NAME)
    return known["metadata"]["resourceVersion"] if known else None


async def test_what_was_seen_is_applied_over_by_its_version() -> None:
    server = Server(5)
    here, cache = doors(server, server.live)
    await apply_object(here, MANIFEST)
    assert server.applied == [{**MANIFEST, "metadata": {**META, "uid": "one", "resourceVersion": "5"}}]
    assert version_in(cache) == "6"


async def test_what_changed_since_is_not_touched_and_seen_anew() -> None:
    server = Server(7)
    here, cache = doors(server, Server(5).live)
    with pytest.raises(Conflict):
        await apply_object(here, MANIFEST)
    assert version_in(cache) == "7"
    await apply_object(here, MANIFEST)
    assert version_in(cache) == "8"


@pytest.mark.parametrize("server", [Server(None), Server(9, "another")])
async def test_what_is_gone_or_another_by_now_is_forgotten_and_asked_for_again(server: Server) -> None:
    here, cache = doors(server, Server(5).live)
    with pytest.raises(Conflict, match="is gone, or was made anew"):
        await apply_object(here, MANIFEST)
    assert version_in(cache) is None


async def test_a_refusal_that_is_about_the_manifest_stays_one() -> None:
    server = Server(5)
    server.refusal = UserError("ApiServerRefused", "spec.rules: Invalid value")
    here, cache = doors(server, server.live)
    with pytest.raises(UserError, match=r"spec\.rules"):
        await apply_object(here, MANIFEST)
    assert version_in(cache) == "5"


async def test_what_was_never_seen_is_made_without_a_version() -> None:
    server = Server(None)
    here, cache = doors(server, None)
    await apply_object(here, MANIFEST)
    assert server.applied == [MANIFEST]
    assert version_in(cache) == "1"


def owned(meta: Json, tenant: str, uid: str) -> Json:
    owner = {"apiVersion": "hoaconnect.com/v1alpha1", "kind": "HOATenant", "name": tenant, "uid": uid}
    return {**meta, "ownerReferences": [owner]}


@pytest.mark.parametrize("holder", ["lives", "made anew", "gone"])
async def test_what_another_living_tenant_owns_is_left_to_it(holder: str) -> None:
    server = Server(5)
    assert server.live is not None
    here, cache = doors(server, {**server.live, "metadata": owned(server.live["metadata"], "acme", "acme-1")})
    if holder != "gone":
        uid = "acme-1" if holder == "lives" else "acme-2"
        cache.observe(TENANT, {"metadata": {"name": "acme", "uid": uid, "resourceVersion": "1"}})
    wanted = {**MANIFEST, "metadata": owned(META, "acme-clusterissuer-letsencrypt", "other")}
    if holder == "lives":
        with pytest.raises(UserError, match=f"Ingress {NAME} is HOATenant acme's and was left as it is") as refused:
            await apply_object(here, wanted)
        assert refused.value.reason == "NameTaken"
    else:
        await apply_object(here, wanted)
    assert len(server.applied) == (holder != "lives")


ROW = row_of(world())


def holding(domains: list[Json], name: str = "pinnacle") -> Doors:
    """Return doors to a registry where pinnacle holds a host that its HOATenant names with `domains`."""

    class Taken:
        async def upsert(self, row: object, epoch: int) -> bool:
            assert (row, epoch) == (ROW, 1)
            raise HostTaken("www.example.com", "hoa-connect/pinnacle")

    cache = Cache()
    cache.observe(TENANT, tenant_body(name, domains=domains))
    sources: Any = SimpleNamespace(cache=cache, registry=Taken(), settings=settings(), sealer=None)
    kube: Any = None
    return Doors(sources, kube, 1, lambda change: None)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (holding([{"host": "www.example.com"}]), "HostTaken"),
        (holding([], name="another"), "HostTaken"),
        (holding([{"host": "other.example.com"}]), "HostLeaving"),
    ],
    ids=["asked for there", "its holder is gone", "given up there"],
)
async def test_only_a_host_that_its_holder_gives_up_is_worth_waiting_for(there: Doors, reason: str) -> None:
    subject: Any = None
    with pytest.raises(StepFailed) as caught:
        await apply(there, subject, Register(ROW))
    assert caught.value.failure.error.reason == reason
    assert caught.value.failure.for_people == (reason == "HostTaken")


@pytest.mark.parametrize("step", [Forget(UUID(UID)), Retire(Retirement(UUID(UID), NOW))])
async def test_what_a_tenant_that_is_gone_had_in_use_is_believed_no_more(step: Forget | Retire) -> None:
    """Its data may come back after months, and its Secrets are others then."""
    book, places = UsageBook(lambda: 0.0, 300.0), Places()
    places.give(UID, "default")

    async def read(homeowners: int) -> int:
        async def ask() -> Reading:
            return Reading(usage(homeowners=homeowners))

        found = (await book.read(UUID(UID), ask)).usage
        return found.homeowners if found else 0

    async def done(*_: object, **__: object) -> bool:
        return True

    assert (await read(80), await read(7)) == (80, 80)
    registry = SimpleNamespace(forget=done, retire=done)
    sources: Any = SimpleNamespace(registry=registry, places=places, usage=book)
    kube: Any = None
    target = world().target
    subject = subject_of(settings(), target.identity, UID, NOW)
    await apply(Doors(sources, kube, 1, lambda _: None), subject, step)
    assert await read(7) == 7
    assert places.given(UID) is None


async def test_a_patch_of_what_changed_since_counts_for_nothing_and_it_is_seen_anew() -> None:
    """Else a finalizer that was not put would let the next steps make what nobody removes."""
    server = Server(7)
    here, cache = doors(server, Server(5).live)
    seen = cache.get(INGRESS, NAME)
    assert seen is not None
    with pytest.raises(Conflict):
        await patch_source(here, seen, {"metadata": {"resourceVersion": "5"}})
    assert version_in(cache) == "7"
    again = cache.get(INGRESS, NAME)
    assert again is not None
    await patch_source(here, again, {"metadata": {"resourceVersion": "7"}})
    assert version_in(cache) == "8"
