"""The namespace goes: everything is let go of, once or many times, whatever the API server answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from hoa_operator import farewell as farewell_module
from hoa_operator import names
from hoa_operator.__main__ import Process
from hoa_operator.errors import OperatorError, WorldError
from hoa_operator.farewell import Farewell
from hoa_operator.kube import Conflict, Kube
from tests.unit.operator.samples import settings

OURS, THEIRS = names.FINALIZER, "backup.example/keep"


@dataclass
class Api:
    """HOATenants by name with their finalizers; `answers` are what the next patches of a name raise."""

    held: dict[str, list[str]]
    leaving: list[bool | OperatorError] = field(default_factory=lambda: [True])
    answers: dict[str, list[OperatorError]] = field(default_factory=dict)
    patches: int = 0
    together: int = 0
    most: int = 0

    async def is_leaving(self) -> bool:
        answer = self.leaving.pop(0) if len(self.leaving) > 1 else self.leaving[0]
        if isinstance(answer, OperatorError):
            raise answer
        return answer

    async def list_all(self, _kind: Any, *, metadata_only: bool) -> list[Any]:
        assert metadata_only
        return [
            {"metadata": {"name": name, "finalizers": list(held), "resourceVersion": "1"}}
            for name, held in self.held.items()
        ]

    async def patch(self, _kind: Any, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.patches += 1
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        if self.answers.get(name):
            raise self.answers[name].pop(0)
        assert body["metadata"]["resourceVersion"] == "1"
        self.held[name] = body["metadata"]["finalizers"]
        return body


def of(api: Api) -> Farewell:
    return Farewell(cast("Kube", api))


async def test_only_ours_is_taken_off() -> None:
    api = Api({"a": [OURS], "b": [THEIRS, OURS], "c": [THEIRS], "d": []})
    assert await of(api).let_go() is True
    assert api.held == {"a": [], "b": [THEIRS], "c": [THEIRS], "d": []}
    assert api.patches == 2


async def test_many_go_at_once_but_not_all() -> None:
    api = Api({f"t{number}": [OURS] for number in range(500)})
    assert await of(api).let_go() is True
    assert api.patches == 500
    assert 8 <= api.most <= 32


async def test_what_changed_or_went_meanwhile_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "_PAUSE", 0.0)
    api = Api({"a": [OURS], "b": [OURS], "c": [OURS]})
    api.answers = {
        "a": [Conflict("changed"), Conflict("changed")],
        "b": [WorldError("NotFound", "gone")],
        "c": [WorldError("ApiServerSilent", "no answer"), WorldError("ApiServerError", "500")],
    }
    assert await of(api).let_go() is True
    assert api.held == {"a": [], "b": [], "c": []}


async def test_a_right_that_is_gone_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "_PAUSE", 0.0)
    api = Api({"a": [OURS]}, answers={"a": [WorldError("Forbidden", "no")] * 1000})
    assert await of(api).let_go() is False
    assert api.patches < 100


async def test_what_cannot_be_read_is_unknown() -> None:
    api = Api({}, leaving=[WorldError("Forbidden", "no"), False, True, False])
    farewell = of(api)
    assert [await farewell.look() for _ in range(4)] == [None, False, True, True], "and what goes does not come back"


def ended(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Return a process that was told to end, with so many seconds for its last look."""
    monkeypatch.setattr(farewell_module, "_PAUSE", 0.0)
    monkeypatch.setattr(farewell_module, "LAST_LOOK_SECONDS", seconds)
    process = Process(settings(), {})
    process.stop()
    return process


async def test_an_end_that_cannot_read_the_namespace_asks_again_and_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    failing: list[bool | OperatorError] = [
        WorldError("ApiServerError", "500"),
        WorldError("ApiServerSilent", "nothing"),
    ]
    api = Api({"a": [OURS], "b": [THEIRS, OURS]}, leaving=[*failing, True])
    await ended(30.0, monkeypatch)._part(of(api))
    assert api.held == {"a": [], "b": [THEIRS]}


async def test_an_end_that_is_not_the_namespaces_lets_go_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api({"a": [OURS]}, leaving=[WorldError("ApiServerError", "500"), False])
    await ended(30.0, monkeypatch)._part(of(api))
    assert api.held == {"a": [OURS]}
    assert api.patches == 0


async def test_a_look_that_is_never_answered_is_given_up_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "_ONE_LOOK", 0.01)
    api = Api({"a": [OURS]})
    answering, asked = api.is_leaving, 0

    async def silent_at_first() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        return await answering()

    monkeypatch.setattr(api, "is_leaving", silent_at_first)
    await ended(30.0, monkeypatch)._part(of(api))
    assert asked == 2
    assert api.held == {"a": []}


async def test_what_is_never_read_ends_in_time_and_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api({"a": [OURS]}, leaving=[WorldError("Forbidden", "no")])
    process = ended(0.05, monkeypatch)
    with capture_logs() as said:
        await asyncio.wait_for(process._part(of(api)), 5)
    assert api.held == {"a": [OURS]}
    assert "namespace-deletion.md" in said[-1]["event"]
    assert [line["event"] for line in said].count("namespace not read") == 1, "once, not at each look"


async def test_a_right_that_is_gone_for_good_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api({"a": [OURS]}, leaving=[WorldError("Forbidden", "no")])
    await asyncio.wait_for(ended(600.0, monkeypatch)._part(of(api)), 5)
    assert api.held == {"a": [OURS]}


def test_the_last_look_leaves_time_of_the_pods_grace_for_letting_go() -> None:
    assert farewell_module.LAST_LOOK_SECONDS + farewell_module._ROUNDS * farewell_module._PAUSE < 60


async def test_the_watch_says_so_when_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell_module, "LOOK_SECONDS", 0.0)
    found = asyncio.Event()
    farewell = of(Api({}, leaving=[False, WorldError("ApiServerSilent", "x"), True]))
    await asyncio.wait_for(farewell.watch(found), 5)
    assert found.is_set()
    assert farewell.going
