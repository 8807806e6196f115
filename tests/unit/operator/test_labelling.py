"""An object of the operator's that lost its labels is known by its owner, and has just its labels put back."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hoa_operator import desire, names
from hoa_operator.apply import Doors, Subject, apply, apply_object
from hoa_operator.cache import Cache
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import Kind, kind_of, name_of
from hoa_operator.kube import Conflict
from hoa_operator.labelling import Relabelled
from hoa_operator.observe import children_of
from hoa_operator.steps import MintCredentials
from hoa_operator.target import StepFailed
from tests.unit.operator.samples import CREDENTIALS, NOW, live, served

Json = dict[str, Any]
WORLD = served()
[INGRESS] = desire.routes(WORLD)
CREDENTIALS_SECRET = desire.credentials_secret(WORLD, CREDENTIALS)


class Server:
    """One object as the API server holds it; `strips` names a label that an admission policy takes off."""

    def __init__(self, item: Json, strips: str = "") -> None:
        self.item = copy.deepcopy(item)
        self.strips = strips
        self.patches: list[Json] = []

    async def get(self, kind: Kind, name: str) -> Json:
        assert (kind, name) == (kind_of(self.item), name_of(self.item))
        return copy.deepcopy(self.item)

    async def patch(self, kind: Kind, name: str, change: Json) -> Json:
        self.patches.append(change)
        meta = self.item["metadata"]
        if change["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict("the object has been modified")
        meta["labels"] = {**meta["labels"], **change["metadata"]["labels"]}
        meta["labels"].pop(self.strips, None)
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        return await self.get(kind, name)


def doors(server: Server) -> tuple[Doors, Cache]:
    cache = Cache()
    sources: Any = SimpleNamespace(cache=cache)
    kube: Any = server
    return Doors(sources, kube, 1, lambda _: None), cache


def without(manifest: Json, *labels: str, **meta: Any) -> Json:
    """Return a live object that somebody took labels off."""
    found = copy.deepcopy(live(manifest))
    for label in labels:
        del found["metadata"]["labels"][label]
    found["metadata"] |= meta
    return found


@pytest.mark.parametrize("label", [names.LABEL_MANAGED_BY, names.LABEL_INSTANCE])
async def test_labels_are_put_back_and_nothing_else_is_touched(label: str) -> None:
    server = Server(without(INGRESS, label))
    here, cache = doors(server)
    cache.forget(kind_of(INGRESS), server.item)
    with pytest.raises(Relabelled, match=f"Ingress tenant-seabreeze had lost the label {label}"):
        await apply_object(here, INGRESS)
    lost = {label: INGRESS["metadata"]["labels"][label]}
    assert server.patches == [{"metadata": {"labels": lost, "resourceVersion": "20"}}]
    known = cache.get(kind_of(INGRESS), name_of(INGRESS))
    assert known is not None
    assert known["metadata"]["resourceVersion"] == "21"


async def test_one_that_was_only_not_seen_yet_is_taken_in() -> None:
    server = Server(without(INGRESS))
    server.item["metadata"]["labels"][names.LABEL_VERSION] = "0.9.0"
    here, cache = doors(server)
    with pytest.raises(Conflict, match="was there already") as caught:
        await apply_object(here, INGRESS)
    assert not isinstance(caught.value, Relabelled)
    assert server.patches == []
    assert cache.get(kind_of(INGRESS), name_of(INGRESS)) is not None


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{**INGRESS["metadata"]["ownerReferences"][0], "uid": "of an earlier tenant"}],
        [{**INGRESS["metadata"]["ownerReferences"][0], "controller": False}],
    ],
    ids=["of nobody", "of another", "made by somebody to go with the tenant"],
)
async def test_what_our_owner_reference_does_not_say_is_ours_stays_untouched(owners: list[Json]) -> None:
    server = Server(without(INGRESS, names.LABEL_MANAGED_BY, ownerReferences=owners))
    here, _ = doors(server)
    with pytest.raises(UserError, match="is not the operator's"):
        await apply_object(here, INGRESS)
    assert server.patches == []


async def test_labels_that_do_not_stay_are_told_and_not_tried_at_once() -> None:
    here, _ = doors(Server(without(INGRESS, names.LABEL_MANAGED_BY), strips=names.LABEL_MANAGED_BY))
    with pytest.raises(WorldError) as caught:
        await apply_object(here, INGRESS)
    assert caught.value.reason == "LabelsRefused"
    assert not isinstance(caught.value, Conflict)


@pytest.mark.parametrize("label", [names.LABEL_MANAGED_BY, names.LABEL_INSTANCE])
async def test_the_credentials_are_found_again_and_never_replaced(label: str) -> None:
    server = Server(without(CREDENTIALS_SECRET, label))
    here, cache = doors(server)
    cache.forget(kind_of(CREDENTIALS_SECRET), server.item)
    subject = Subject(WORLD.target.identity, desire.family(WORLD), NOW)
    with pytest.raises(StepFailed) as caught:
        await apply(here, subject, MintCredentials(WORLD.record.secrets, None))
    assert isinstance(caught.value.failure.error, Relabelled)
    assert server.item["data"] == CREDENTIALS_SECRET["data"]
    seen = replace(WORLD, children=children_of(cache, WORLD.name))
    assert seen.credentials == CREDENTIALS


def test_credentials_without_the_tenants_label_are_its_own_all_the_same() -> None:
    cache = Cache()
    cache.observe(kind_of(CREDENTIALS_SECRET), without(CREDENTIALS_SECRET, names.LABEL_TENANT))
    seen = replace(WORLD, children=children_of(cache, WORLD.name))
    assert seen.credentials == CREDENTIALS
