"""The machinery itself: the proxies record and break what they say, and a forked program is a real process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.faults.apiproxy import ApiProxy
from tests.faults.apirequest import api
from tests.faults.effects import (
    Answer,
    Answered,
    Delay,
    Drop,
    Duplicate,
    Effect,
    Expire,
    HalfOpen,
    Held,
    ReplyLost,
    Rule,
    StaleList,
)
from tests.faults.pgproxy import PgProxy
from tests.faults.statement import sql
from tests.waiting import until
from tests.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.kubectl import Kubectl
    from tests.faults.loops import LoopThread
    from tests.fix_postgres import PostgresAccess

Lost = (http.client.RemoteDisconnected, ConnectionResetError)


@pytest.fixture
def pg(postgres: PostgresAccess, proxy_loop: LoopThread) -> Iterator[PgProxy]:
    proxy = PgProxy(postgres.host, postgres.port, proxy_loop).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def through(pg: PgProxy, postgres: PostgresAccess) -> Iterator[psycopg.Connection[Any]]:
    """A session through the proxy, with a table of its own to write to."""
    with psycopg.connect(postgres.dsn(), port=pg.port, sslmode="disable", autocommit=True) as connection:
        connection.execute("CREATE TABLE broken (n int)")
        yield connection
    with psycopg.connect(postgres.dsn(), autocommit=True) as direct:
        direct.execute("DROP TABLE broken")


def rows(postgres: PostgresAccess) -> list[int]:
    with psycopg.connect(postgres.dsn()) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM broken ORDER BY 1").fetchall()]


def test_every_statement_is_recorded_with_its_outcome(pg: PgProxy, through: psycopg.Connection[Any]) -> None:
    before = len(pg.journal)
    for number in range(7):  # the sixth is prepared, and what is prepared has its text all the same
        through.execute("INSERT INTO broken VALUES (%s)", [number])
    with pytest.raises(psycopg.errors.UndefinedTable):
        through.execute("SELECT 1 FROM nowhere")
    with through.transaction():
        through.execute("DELETE FROM broken")
    carried_out = [statement for statement in pg.journal[before:] if statement.carried_out]
    assert [statement.text for statement in carried_out] == [
        *["INSERT INTO broken VALUES ($1)"] * 7,
        "SELECT 1 FROM nowhere",
        "BEGIN",
        "DELETE FROM broken",
        "COMMIT",
    ]
    assert [statement.error for statement in carried_out[7:]] == ["42P01", "", "", ""]
    assert [statement.transaction for statement in carried_out[8:]] == ["T", "T", "I"]
    assert [statement.first_word for statement in pg.writes(before)] == ["INSERT"] * 7 + ["DELETE"]
    assert [statement.number for statement in pg.journal] == list(range(1, len(pg.journal) + 1))


def test_a_lost_reply_is_a_commit_that_nobody_heard_of(
    pg: PgProxy, postgres: PostgresAccess, through: psycopg.Connection[Any]
) -> None:
    seen: list[list[int]] = []
    rule = pg.rules.add(Rule(sql("INSERT INTO broken"), ReplyLost(lambda: seen.append(rows(postgres))), nth=2))
    through.execute("INSERT INTO broken VALUES (1)")
    with pytest.raises(psycopg.OperationalError):
        through.execute("INSERT INTO broken VALUES (2)")
    assert seen == [[1, 2]]
    assert [statement.effect for statement in rule.hits] == ["ReplyLost"]


def test_a_lost_commit_is_a_commit(pg: PgProxy, postgres: PostgresAccess, through: psycopg.Connection[Any]) -> None:
    pg.rules.add(Rule(sql("COMMIT"), ReplyLost()))
    with pytest.raises(psycopg.OperationalError), through.transaction():
        through.execute("INSERT INTO broken VALUES (1)")
    assert rows(postgres) == [1]


def test_a_dropped_statement_never_happened(
    pg: PgProxy, postgres: PostgresAccess, through: psycopg.Connection[Any]
) -> None:
    pg.rules.add(Rule(sql("INSERT"), Drop()))
    with pytest.raises(psycopg.OperationalError):
        through.execute("INSERT INTO broken VALUES (1)")
    assert rows(postgres) == []
    assert [statement.transaction for statement in pg.journal if statement.first_word == "INSERT"] == [""]


def test_a_delayed_statement_takes_its_time(pg: PgProxy, through: psycopg.Connection[Any]) -> None:
    pg.rules.add(Rule(sql("INSERT"), Delay(0.3)))
    began = time.monotonic()
    through.execute("INSERT INTO broken VALUES (1)")
    assert time.monotonic() - began >= 0.3


def test_a_held_statement_has_not_reached_the_server_yet(
    pg: PgProxy, postgres: PostgresAccess, through: psycopg.Connection[Any]
) -> None:
    seen: list[list[int]] = []

    def look_and_go() -> None:
        seen.append(rows(postgres))
        held.go.set()

    held = Held(look_and_go)
    pg.rules.add(Rule(sql("INSERT"), held))
    through.execute("INSERT INTO broken VALUES (1)")
    assert (seen, rows(postgres)) == ([[]], [1])


def test_an_answered_statement_is_carried_out_before_its_client_hears_of_it(
    pg: PgProxy, postgres: PostgresAccess, through: psycopg.Connection[Any]
) -> None:
    seen: list[list[int]] = []
    pg.rules.add(Rule(sql("INSERT"), Answered(lambda: seen.append(rows(postgres)))))
    through.execute("INSERT INTO broken VALUES (1)")
    assert seen == [[1]]


def test_an_open_session_can_be_reset(pg: PgProxy, through: psycopg.Connection[Any]) -> None:
    assert pg.reset_sessions() == 1
    with pytest.raises(psycopg.OperationalError):
        through.execute("SELECT 1")


def test_a_refused_password_is_passed_on(pg: PgProxy, postgres: PostgresAccess) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.dsn(), port=pg.port, password="wrong", sslmode="disable")


class Client:
    """A client of the API through the proxy, as its administrator."""

    def __init__(self, proxy: ApiProxy, plane: ControlPlane, namespace: str) -> None:
        self.proxy = proxy
        self._headers = {"Authorization": f"Bearer {plane.admin_token}", "Content-Type": "application/json"}
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._connections: list[http.client.HTTPConnection] = []

    def send(self, method: str, name: str = "", query: str = "", body: Any = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=10)
        self._connections.append(connection)
        path = f"{self._path}/{name}" if name else self._path
        connection.request(method, path + query, None if body is None else json.dumps(body), self._headers)
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def create(self, name: str) -> int:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        answer = self.send("POST", body=body)
        answer.read()
        return answer.status

    def names(self) -> list[str]:
        items = json.loads(self.send("GET").read())["items"]
        return [item["metadata"]["name"] for item in items if item["metadata"]["name"] != "kube-root-ca.crt"]

    def version(self) -> str:
        version: str = json.loads(self.send("GET").read())["metadata"]["resourceVersion"]
        return version

    def watch(self) -> http.client.HTTPResponse:
        return self.send("GET", query=f"?watch=1&resourceVersion={self.version()}")


@pytest.fixture
def client(control_plane: ControlPlane, kubectl: Kubectl, proxy_loop: LoopThread) -> Iterator[Client]:
    proxy = ApiProxy(control_plane.url, control_plane.authority.certificate, proxy_loop).start()
    client = Client(proxy, control_plane, kubectl.namespace)
    yield client
    client.close()
    proxy.stop()


def break_create(client: Client, effect: Effect, **more: Any) -> None:
    client.proxy.rules.add(Rule(api(verb="create", resource="configmaps"), effect, **more))


def test_requests_are_recorded_in_kubernetes_words(client: Client, kubectl: Kubectl) -> None:
    assert client.create("one") == 201
    client.send("GET", "one").read()
    client.send("DELETE", "one").read()
    told = [(request.verb, request.resource, request.name, request.status) for request in client.proxy.journal]
    assert told == [
        ("create", "configmaps", "one", 201),
        ("get", "configmaps", "one", 200),
        ("delete", "configmaps", "one", 200),
    ]
    assert {request.namespace for request in client.proxy.journal} == {kubectl.namespace}
    assert [str(request) for request in client.proxy.writes()] == ["create configmaps one", "delete configmaps one"]


def test_a_lost_reply_and_a_dropped_request(client: Client) -> None:
    seen: list[str] = []
    break_create(client, ReplyLost(lambda: seen.append("struck")))
    break_create(client, Drop(), nth=2)
    for name in ("committed", "dropped"):
        with pytest.raises(Lost):
            client.create(name)
    assert (client.names(), seen) == (["committed"], ["struck"])


def test_a_duplicate_is_answered_by_its_second_answer(client: Client) -> None:
    break_create(client, Duplicate())
    assert client.create("twice") == 409
    assert client.names() == ["twice"]
    assert client.proxy.journal[0].sent == 2


@pytest.mark.parametrize("code", [409, 422, 429, 500])
def test_a_refusal_is_not_forwarded(client: Client, code: int) -> None:
    break_create(client, Answer(code, retry_after=7 if code == 429 else None))
    answer = client.send("POST", body={"metadata": {"name": "refused"}})
    assert (answer.status, answer.headers.get("Retry-After")) == (code, "7" if code == 429 else None)
    assert json.loads(answer.read())["code"] == code
    assert client.names() == []


def test_an_old_list_is_returned_instead_of_the_new_one(client: Client) -> None:
    client.create("one")
    assert client.names() == ["one"]
    client.create("two")
    client.proxy.rules.add(Rule(api(verb="list"), StaleList()))
    assert client.names() == ["one"]
    assert client.names() == ["one", "two"]


def test_watches_stream_expire_and_freeze(client: Client) -> None:
    watch = client.watch()
    client.create("seen")
    assert json.loads(watch.readline())["object"]["metadata"]["name"] == "seen"
    assert client.proxy.freeze_watches("configmaps") == 1
    client.create("unseen")
    until(lambda: client.names() == ["seen", "unseen"], "the second to be there", 5)
    assert client.proxy.expire_watches("configmaps") == 1
    event = json.loads(watch.readline())
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert watch.readline() == b""


@pytest.mark.parametrize(("effect", "told"), [(Expire(), "ERROR"), (HalfOpen(), "")])
def test_a_watch_can_begin_broken(client: Client, effect: Effect, told: str) -> None:
    client.proxy.rules.add(Rule(api(verb="watch"), effect))
    watch = client.watch()
    client.create("one")
    if told:
        assert json.loads(watch.readline())["type"] == told
    else:
        assert client.proxy.expire_watches() == 1
        assert json.loads(watch.readline())["type"] == "ERROR"  # and the event before it was never passed on


def test_a_forked_program_runs_with_its_own_world_and_dies_by_a_signal(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import os, signal, sys\n"
        "if __name__ == '__main__':\n"
        "    print(os.environ['WORD'], os.getcwd(), sys.argv[1:], os.getpid() == os.getpgrp(), flush=True)\n"
        "    sys.exit(3) if 'leave' in sys.argv else signal.pause()\n"
    )
    zygote = Zygote("sleeper", tmp_path, [tmp_path]).start()
    folder = tmp_path / "folder"
    folder.mkdir()
    log = tmp_path / "log"
    try:
        asleep = zygote.process("asleep", log, {"WORD": "hello"}, folder, ["stay"])
        asleep.start()
        until(lambda: log.exists() and log.read_text(), "the program to speak", 5)
        assert log.read_text() == f"hello {folder} ['stay'] True\n"
        assert asleep.running
        os.killpg(asleep.pid, signal.SIGKILL)
        assert asleep.wait(5) == -signal.SIGKILL
        assert not asleep.running
        leaving = zygote.process("leaving", log, {"WORD": "bye"}, folder, ["leave"])
        leaving.start()
        assert leaving.wait(5) == 3
    finally:
        zygote.stop()
