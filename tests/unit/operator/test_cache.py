"""The cache: newest wins whatever order news comes in, and what is gone stays gone."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import names, steps
from hoa_operator.cache import Cache
from hoa_operator.kinds import JOB, SECRET, TENANT

Json = dict[str, Any]
WRITERS = [
    {"manager": "hoa-operator", "time": "2026-11-23T12:00:00Z"},
    {"manager": "kubectl-edit", "time": "2026-11-23T12:00:05Z"},
    {"manager": "kubelet", "time": "2026-11-23T12:00:09Z", "subresource": "status"},
]


def item(name: str = "a", version: int = 1, uid: str = "u1", tenant: str = "", **more: Any) -> Json:
    labels = {names.LABEL_TENANT: tenant} if tenant else {}
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version), "labels": labels, "managedFields": WRITERS}
    return {"kind": "Secret", "metadata": metadata, **more}


def test_a_first_sight_is_a_change_and_a_second_is_none() -> None:
    cache = Cache()
    change = cache.observe(SECRET, item())
    assert change is not None
    assert (change.before, change.latest["metadata"]["name"]) == (None, "a")
    assert cache.observe(SECRET, item()) is None


def test_of_managed_fields_only_the_last_writer_is_kept() -> None:
    cache = Cache()
    cache.observe(SECRET, item())
    found = cache.get(SECRET, "a")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["metadata"]["lastWriter"] == "kubectl-edit"
    bare = item(version=2)
    del bare["metadata"]["managedFields"]
    cache.observe(SECRET, bare)
    found = cache.get(SECRET, "a")
    assert found is not None
    assert "lastWriter" not in found["metadata"]


def test_of_what_ran_only_how_it_ended_is_kept() -> None:
    cache = Cache()
    status = {"conditions": [{"type": "Complete", "status": "True"}]}
    cache.observe(JOB, item(spec={"template": {}}, status=status))
    cache.observe(SECRET, item(spec={"kept": True}))
    job, secret = cache.get(JOB, "a"), cache.get(SECRET, "a")
    assert job is not None
    assert secret is not None
    assert ("spec" in job, job["status"]) == (False, status)
    assert secret["spec"] == {"kept": True}


def test_what_many_say_in_the_same_words_is_kept_once() -> None:
    cache = Cache()
    for name in ("a", "b"):
        text = f'{{"conditions": [{{"type": "CredentialsReady", "message": "of {name}"}}]}}'
        cache.observe(TENANT, item(name, status=json.loads(text)))
    one, other = (body["status"]["conditions"][0] for body in cache.all(TENANT))
    assert one["type"] is other["type"]
    assert [key for key in one if any(key is found for found in other)] == ["type", "message"]
    assert (one["message"], other["message"]) == ("of a", "of b")


def test_jobs_that_have_not_ended_are_kept_apart() -> None:
    cache = Cache()
    ended = {"conditions": [{"type": "Failed", "status": "True"}]}
    cache.observe(JOB, item("runs", uid="u1", status={}))
    cache.observe(JOB, item("ended", uid="u2", status=ended))
    cache.observe(JOB, item("gone", uid="u3"))
    cache.forget(JOB, item("gone", uid="u3"))
    assert [job["metadata"]["name"] for job in cache.unfinished_jobs()] == ["runs"]
    cache.observe(JOB, item("runs", uid="u1", version=2, status=ended))
    assert cache.unfinished_jobs() == []


def test_tenants_whose_spec_is_refused_are_known_apart() -> None:
    cache = Cache()

    def said(status: str) -> dict[str, Any]:
        return {"conditions": [{"type": "Ready", "status": "False"}, {"type": steps.SPEC_ACCEPTED, "status": status}]}

    cache.observe(TENANT, item("well", uid="u1", status=said("True")))
    cache.observe(TENANT, item("refused", uid="u2", status=said("False")))
    cache.observe(TENANT, item("gone", uid="u3", status=said("False")))
    cache.observe(TENANT, item("new", uid="u4"))
    cache.forget(TENANT, item("gone", uid="u3", version=2))
    assert cache.refused_tenants() == ["refused"]
    cache.observe(TENANT, item("refused", uid="u2", version=2, status=said("True")))
    assert cache.refused_tenants() == []


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = Cache()
    cache.observe(SECRET, item(version=10))
    assert cache.observe(SECRET, item(version=9)) is None
    found = cache.get(SECRET, "a")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


def test_a_late_event_does_not_raise_the_dead() -> None:
    cache = Cache()
    cache.observe(SECRET, item())
    assert cache.forget(SECRET, item(version=6)) is not None
    assert cache.observe(SECRET, item(version=5)) is None
    assert cache.get(SECRET, "a") is None


def test_what_the_api_server_said_is_deleted_stays_so() -> None:
    cache = Cache()
    cache.observe(SECRET, item())
    assert cache.forget_uid(SECRET, "a", "u1") is not None
    assert cache.forget(SECRET, item(version=6)) is None
    assert cache.observe(SECRET, item(version=7)) is None


def test_what_lost_a_label_comes_back_with_it() -> None:
    """A watch tells of an object that its selector no longer matches as of a deleted one."""
    cache = Cache()
    cache.observe(SECRET, item())
    assert cache.forget(SECRET, item(version=2)) is not None
    change = cache.observe(SECRET, item(version=3))
    assert change is not None
    assert change.before is None


def test_news_that_something_left_comes_too_late_once_it_is_seen_again() -> None:
    cache = Cache()
    cache.observe(SECRET, item(version=3))
    assert cache.forget(SECRET, item(version=2)) is None
    assert cache.get(SECRET, "a") is not None


def test_the_end_of_an_old_object_is_not_the_end_of_its_successor() -> None:
    cache = Cache()
    cache.observe(SECRET, item(uid="old"))
    cache.observe(SECRET, item(uid="new", version=2))
    assert cache.forget(SECRET, item(uid="old")) is None
    assert cache.get(SECRET, "a") is not None


def test_children_are_found_by_tenant() -> None:
    cache = Cache()
    cache.observe(SECRET, item("b", tenant="sea"))
    cache.observe(SECRET, item("a", uid="u2", tenant="sea"))
    cache.observe(SECRET, item("c", uid="u3", tenant="other"))
    assert [found["metadata"]["name"] for found in cache.of_tenant(SECRET, "sea")] == ["a", "b"]
    cache.observe(SECRET, item("b", version=2, tenant="other"))
    assert [found["metadata"]["name"] for found in cache.of_tenant(SECRET, "sea")] == ["a"]
    bare = item("a", uid="u2", version=3)
    bare["metadata"]["ownerReferences"] = [{"kind": "HOATenant", "name": "sea", "uid": "t"}]
    cache.observe(SECRET, bare)
    assert [found["metadata"]["name"] for found in cache.of_tenant(SECRET, "sea")] == ["a"], (
        "its owner says whose it is"
    )
    cache.forget_uid(SECRET, "a", "u2")
    assert cache.of_tenant(SECRET, "sea") == []
    assert cache.all(TENANT) == []


@given(st.permutations([item(version=version, data=version) for version in range(1, 7)]))
def test_whatever_the_order_the_newest_is_kept(events: list[Json]) -> None:
    cache = Cache()
    for event in events:
        cache.observe(SECRET, event)
    found = cache.get(SECRET, "a")
    assert found is not None
    assert found["data"] == 6
