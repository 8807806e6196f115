"""A registry of another cluster: which cluster this is, and what every HOATenant says about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from hoa_operator import foreign, status
from hoa_operator.errors import Fenced, ForeignRegistry, UserError, WorldError
from hoa_operator.kube import Kube
from hoa_operator.registry_cluster import Owner
from hoa_operator.registry_cluster import foreign as refusal
from tests.faults.words import lacks
from tests.unit.operator.samples import NOW, UID, tenant_body

CLUSTER, OTHER = uuid4(), uuid4()
ERROR = refusal(Owner(OTHER, "operator-7", "2026-11-23T12:00:00Z"), CLUSTER)


@dataclass
class Api:
    """HOATenants as they are, and the patches of their statuses."""

    tenants: list[dict[str, Any]] = field(default_factory=list)
    trouble: Exception | None = None
    patched: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def get(self, _kind: Any, name: str) -> dict[str, Any] | None:
        return {"metadata": {"uid": str(CLUSTER)}} if name == "kube-system" else None

    async def list_all(self, _kind: Any, *, metadata_only: bool = False) -> list[dict[str, Any]]:
        return self.tenants

    async def patch(self, _kind: Any, name: str, body: dict[str, Any], subresource: str) -> None:
        assert subresource == "status"
        if self.trouble is not None:
            raise self.trouble
        self.patched.append((name, body))

    @property
    def door(self) -> Kube:
        return cast("Kube", self)


async def test_a_cluster_is_known_by_the_uid_of_a_namespace_and_its_tenants() -> None:
    api = Api([tenant_body()])
    found = await foreign.here(api.door, "kube-system")
    assert (found.id, await found.tenants(), found.takes_over) == (CLUSTER, {UUID(UID)}, None)


async def test_a_namespace_that_is_not_there_is_named_with_the_value_to_set() -> None:
    with pytest.raises(UserError, match=r"namespace nowhere.* operator\.clusterNamespace"):
        await foreign.here(Api().door, "nowhere")


async def test_every_tenant_says_once_why_nothing_is_done() -> None:
    async def start() -> None:
        raise ERROR

    api = Api([tenant_body()])
    with pytest.raises(ForeignRegistry):
        await foreign.told(api.door, start)()
    [(name, body)] = api.patched
    assert name == api.tenants[0]["metadata"]["name"]
    assert body["metadata"] == {"resourceVersion": api.tenants[0]["metadata"]["resourceVersion"]}
    said = {c["type"]: c for c in body["status"]["conditions"]}
    for kind, value in (("SpecAccepted", "False"), ("Stalled", "True"), ("Ready", "False")):
        assert (said[kind]["status"], said[kind]["reason"]) == (value, "RegistryOfAnotherCluster")
        assert str(OTHER) in said[kind]["message"]
        assert lacks(said[kind]) == ""
    api.tenants[0]["status"] = body["status"]
    await foreign.tell(api.door, ERROR, NOW)
    assert len(api.patched) == 1, "what is said already is not written again"


def test_a_tenant_in_service_stays_as_it_was_but_for_the_refusal() -> None:
    onboarded = [{"step": "RunMigrations", "startedAt": "2026-11-23T11:00:00Z", "finishedAt": "2026-11-23T11:00:09Z"}]
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "http://seabreeze",
        "lastTransitionTime": "2026-11-23T11:00:09Z",
    }
    body = {**tenant_body(), "status": {"onboarding": onboarded, "conditions": [ready], "tenantID": UID}}
    said = foreign.refused(body, ERROR, NOW)
    kept = status.condition(said, "Ready")
    assert kept is not None
    assert (kept["status"], kept["lastTransitionTime"]) == ("True", ready["lastTransitionTime"])
    assert (said["phase"], said["tenantID"]) == ("Degraded", UID)


async def test_trouble_on_the_way_hides_no_refusal_but_a_lost_lead_does() -> None:
    await foreign.tell(Api([tenant_body()], WorldError("ApiServerSilent", "no answer")).door, ERROR, NOW)
    with pytest.raises(Fenced):
        await foreign.tell(Api([tenant_body()], Fenced()).door, ERROR, NOW)


@pytest.mark.parametrize("wrong", [[], ["a", "b"]])
def test_a_takeover_names_one_cluster(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert foreign.parse(["unrecorded"]) == "unrecorded"
    with pytest.raises(SystemExit) as caught:
        foreign.parse(wrong)
    assert caught.value.code == 2
