"""The door to the Kubernetes API: what is sent, and what becomes of the answers, over real HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hoa_operator import kube
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import SECRET, TENANT
from hoa_operator.kube import Client, Conflict, Kube, login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Counted:
    """How often what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []

    def request(self, verb: str, kind: str) -> None:
        self.requests.append((verb, kind))


@asynccontextmanager
async def answering(answer: Answer, *tokens: str) -> AsyncIterator[Kube]:
    """A server that answers so, and a door to it; each login brings the next of the tokens."""
    app = web.Application()
    app.router.add_route("*", "/cluster/{path:.*}", answer)
    left = list(tokens or ("first",))
    async with TestServer(app) as server:

        def signed_in() -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(
                server=str(server.make_url("/cluster/")), token=left.pop(0) if len(left) > 1 else left[0]
            )

        door = Kube(Client(signed_in), "here", lambda: None, Counted())
        try:
            yield door
        finally:
            await door.close()


async def test_a_list_comes_in_pages_and_whole() -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        assert request.path == "/cluster/api/v1/namespaces/here/secrets"
        first = "continue" not in request.query
        meta = {"resourceVersion": "77", "continue": "next+page=" if first else ""}
        names = ["a", "b"] if first else ["c"]
        return web.json_response({"metadata": meta, "items": [{"metadata": {"name": name}} for name in names]})

    async with answering(answer) as door:
        pages = [
            ([item["metadata"]["name"] for item in items], version)
            async for items, version in door.pages(SECRET, "x=y")
        ]
        assert pages == [(["a", "b"], 77), (["c"], 77)]
        assert [item["kind"] for item in await door.list_all(SECRET)] == ["Secret"] * 3
    assert asked[1] == {"limit": asked[0]["limit"], "labelSelector": "x=y", "continue": "next+page="}


async def test_a_renewed_token_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "_LOGIN_SECONDS", 0.0)
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response({"metadata": {}})

    async with answering(answer, "old", "new", "newest") as door:
        await door.get(TENANT, "a")
        await door.get(TENANT, "a")
    assert seen == ["Bearer new", "Bearer newest"]


async def test_what_is_written_says_who_writes_and_as_what() -> None:
    seen: list[tuple[str, str, dict[str, str], Any]] = []

    async def answer(request: web.Request) -> web.Response:
        content = request.headers.get("Content-Type", "")
        seen.append((request.method, content, dict(request.query), await request.json()))
        return web.json_response({"metadata": {"name": "a"}})

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    async with answering(answer) as door:
        await door.apply(secret)
        await door.create(secret)
        await door.patch(SECRET, "a", {"metadata": {}})
        assert await door.delete(SECRET, "a", "u-1")
    manager = {"fieldManager": "hoa-operator"}
    assert seen[:3] == [
        ("PATCH", "application/apply-patch+yaml", {**manager, "force": "true"}, secret),
        ("POST", "application/json", manager, secret),
        ("PATCH", "application/merge-patch+json", manager, {"metadata": {}}),
    ]
    method, _, _, body = seen[3]
    assert (method, body["preconditions"]) == ("DELETE", {"uid": "u-1"})


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (409, Conflict, "Conflict"),
        (422, UserError, "ApiServerRefused"),
        (403, WorldError, "Forbidden"),
        (429, WorldError, "ApiServerError"),
    ],
)
async def test_refusals_say_who_must_act(status: int, error: type[Exception], reason: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        said = {"reason": "TooBad", "message": "it is as it is"}
        return web.json_response(said, status=status, headers={"Retry-After": "7"})

    async with answering(answer) as door:
        with pytest.raises(error, match="it is as it is") as caught:
            await door.patch(TENANT, "a", {})
    assert getattr(caught.value, "reason", "") == reason
    if status == 429:
        assert getattr(caught.value, "retry_after", None) == 7


async def test_what_is_not_there_is_none_and_what_is_refused_of_a_secret_is_not_quoted() -> None:
    async def answer(request: web.Request) -> web.Response:
        status = 404 if request.method == "GET" else 422
        return web.json_response({"reason": "Invalid", "message": "data holds hunter2"}, status=status)

    async with answering(answer) as door:
        assert await door.get(SECRET, "a") is None
        with pytest.raises(UserError) as caught:
            await door.patch(SECRET, "a", {})
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_is_away_is_said_to_be() -> None:
    door = Kube(Client(lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1")), "here", lambda: None, Counted())
    with pytest.raises(WorldError) as caught:
        await door.get(TENANT, "a")
    assert caught.value.reason == "ApiServerUnreachable"
    await door.close()


async def test_who_is_signed_out_signs_in_again() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        status = 200 if seen[-1] == "Bearer new" else 401
        return web.json_response({"metadata": {}, "message": "Unauthorized"}, status=status)

    async with answering(answer, "old", "new") as door:
        with pytest.raises(WorldError) as caught:
            await door.get(TENANT, "a")
        assert caught.value.reason == "Unauthorized"
        assert await door.get(TENANT, "a") is not None
    assert seen == ["Bearer old", "Bearer new"]


async def test_a_token_that_cannot_be_read_for_a_moment_is_used_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "_LOGIN_SECONDS", 0.0)
    known = [kopf.ConnectionInfo(server="http://127.0.0.1:1", token="good")]

    def signed_in() -> kopf.ConnectionInfo:
        if not known:
            raise UserError("NotSignedIn", "the token is not there; wait")
        return known.pop()

    client = Client(signed_in)
    assert client._signed_in().token == "good"
    await client.close()


async def test_an_answer_that_is_no_json_is_told_as_one() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with answering(answer) as door:
        with pytest.raises(WorldError, match="no JSON"):
            await door.get(TENANT, "a")


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_in_a_cluster_it_goes_to_the_address_it_is_given(
    monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    found = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t", ca_path="/ca.crt")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: found)
    known = login({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"})
    assert (known.server, known.token, known.ca_path) == (server, "t", "/ca.crt")


def test_without_a_way_to_sign_in_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(UserError, match="set KUBECONFIG"):
        login({})
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UserError, match="FileNotFoundError"):
        login({})
