"""Faults of Postgres, each made for real: killed in mid-CREATE and in mid-DROP, out of connections and of disk, a busy
template, sessions that hold up a DROP. The tenant says what is wrong and heals; nothing is made or dropped twice."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hoa_operator.postgres import names as postgres_names
from tests.cluster.operating import condition, is_ready
from tests.cluster.platform import tenant
from tests.faults.backends import Backends
from tests.faults.grounds import Ground, Tools, installed
from tests.faults.schema import dropped_at_once
from tests.faults.words import lacks_words
from tests.never import never
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Json = dict[str, Any]
SETTINGS = {"HOA_RESYNC_SECONDS": "3"}
CREATE, DROP = 'CREATE DATABASE "hoa_connect_tenant_', 'DROP DATABASE "hoa_connect_tenant_'
ROWS = 120_000  # of a kilobyte each


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    """The Postgres of this file."""
    with Backends.on_a_small_disk() as made:
        yield made


@pytest.fixture(scope="module")
def ground(backends: Backends, tools: Tools, namespace_names: Iterator[str]) -> Iterator[Ground]:
    """The installation of this file."""
    with installed(tools, backends.server.access, next(namespace_names), SETTINGS) as made:
        yield made


def template(backends: Backends) -> str:
    """Return the name of the sealed template."""
    ((name,),) = backends.ask("SELECT datname FROM pg_database WHERE datname LIKE 'hoa\\_connect\\_template\\_%'")
    return str(name)


@contextlib.contextmanager
def opened(backends: Backends, name: str) -> Iterator[psycopg.Connection[Any]]:
    """Be connected to a database that lets nobody in."""
    backends.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    session = backends.session(name)
    backends.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    with session:
        yield session


def is_on_server(backends: Backends, name: str) -> bool:
    """Whether there is a database of that name."""
    return bool(backends.ask("SELECT 1 FROM pg_database WHERE datname = %s", name))


def is_whole(ground: Ground, backends: Backends, name: str) -> Json:
    """Wait until the tenant is Ready and check that it has exactly what a tenant has; return it."""
    body = ground.kubectl.wait_for("hoatenant", name, is_ready, 60)
    tenant_id = body["status"]["tenantID"]
    assert ground.registered(body["metadata"]["uid"]) == [("Active", tenant_id)]
    database = body["status"]["database"]["name"]
    found = backends.ask("SELECT datname FROM pg_database WHERE datname LIKE %s", f"%{tenant_id.replace('-', '')}%")
    never(found[1:], "made more than once")
    assert found == [(database,)]
    assert backends.ask("SELECT count(*) FROM invitations", dbname=database) == [(1,)]
    jobs = ground.kubectl.list("job", "-l", f"hoaconnect.com/tenant={name}")
    never([job["metadata"]["name"] for job in jobs][1:], "run more than once")
    assert len(jobs) == 1
    return body


def is_gone(ground: Ground, backends: Backends, body: Json) -> None:
    """Wait until the tenant is gone and check that nothing of it is left."""
    ground.kubectl.wait_gone("hoatenant", body["metadata"]["name"], 60)
    id_ = body["status"]["tenantID"].replace("-", "")
    never(backends.ask("SELECT datname FROM pg_database WHERE datname LIKE %s", f"%{id_}%"), "databases left")
    never(backends.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", f"%{id_}%"), "roles left")
    never(ground.registered(body["metadata"]["uid"]), "rows left")
    assert postgres_log(backends, f"DROP DATABASE .*{id_}"), "somebody else dropped it"


def postgres_log(backends: Backends, pattern: str) -> list[str]:
    """Return the lines of the server's log that match."""
    return [line for line in backends.server.process.log.read_text().splitlines() if re.search(pattern, line)]


# CREATE DATABASE


def test_killed_while_it_copies_the_template(ground: Ground, backends: Backends) -> None:
    source = template(backends)
    known = backends.folders()
    with opened(backends, source) as inside:
        inside.execute(f"SET ROLE {postgres_names.TEMPLATE_OWNER}")
        inside.execute(f"CREATE TABLE public.ballast AS SELECT repeat('x', 1000) FROM generate_series(1, {ROWS})")
    ground.kubectl.apply(tenant("copied"))

    def half_done() -> bool:
        new = [size for oid, size in backends.folders().items() if oid not in known]
        return any(size > 20 << 20 for size in new)

    until(half_done, "the copy to be under way", 60, 0.005)
    backends.crash()
    backends.server.start()
    tenant_id = ground.kubectl.get("hoatenant", "copied")["metadata"]["uid"].replace("-", "")
    with opened(backends, source) as inside:
        inside.execute("DROP TABLE public.ballast")
    is_whole(ground, backends, "copied")
    asked = postgres_log(backends, f"statement: CREATE DATABASE .*{tenant_id}")
    assert len(asked) == 2, "the one that was killed, and one after it"


def test_a_busy_template(ground: Ground, backends: Backends) -> None:
    with opened(backends, template(backends)):
        ground.kubectl.apply(tenant("waiting"))
        said = ground.until_said("waiting", "DatabaseReady", "TemplateBusy")
        assert lacks_words(said) == ""
        assert ground.condition("waiting", "Stalled")["reason"] == "Retrying"
    is_whole(ground, backends, "waiting")


def test_killed_while_a_create_waits_for_the_template(ground: Ground, backends: Backends) -> None:
    with opened(backends, template(backends)):
        ground.kubectl.apply(tenant("cut"))
        backends.caught(CREATE)
        backends.crash()
        backends.server.start()
    is_whole(ground, backends, "cut")


# Connections and disk


def test_no_connection_is_left(ground: Ground, backends: Backends) -> None:
    ground.operator.pause()
    held = backends.take_all_connections(besides="hoa%")
    ground.operator.resume()
    try:
        ground.kubectl.apply(tenant("outside"))
        ground.kubectl.wait_for("hoads", "default", lambda found: condition(found, "Ready")["status"] == "False", 60)
        server = condition(ground.kubectl.get("hoads", "default"), "Ready")
        assert server["reason"] == "TooManyConnections"
        said = ground.until_said("outside", "SpecAccepted", "TooManyConnections")
        assert lacks_words(server["message"]) == lacks_words(said) == ""
    finally:
        for session in held:
            session.close()
    is_whole(ground, backends, "outside")


def test_the_disk_is_full(ground: Ground, backends: Backends) -> None:
    ground.kubectl.apply(tenant("served"))
    served = ground.kubectl.wait_for("hoatenant", "served", is_ready, 60)
    ballast = backends.fill_disk()
    try:
        ground.kubectl.apply(tenant("crowded"))
        said = ground.until_said("crowded", "DatabaseReady", "DiskFull")
        assert lacks_words(said) == ""
        assert is_ready(ground.kubectl.get("hoatenant", "served")), "who is served needs no room"
    finally:
        ballast.unlink()
    is_whole(ground, backends, "crowded")
    assert is_whole(ground, backends, "served")["status"]["database"] == served["status"]["database"]


# DROP DATABASE


def prepared(ground: Ground, name: str) -> Json:
    """Return a Ready tenant whose database goes as soon as it is deleted."""
    ground.kubectl.apply(tenant(name, database=dropped_at_once()))
    return ground.kubectl.wait_for("hoatenant", name, is_ready, 60)


def delete(ground: Ground, name: str) -> None:
    """Ask for the tenant's end and do not wait for it."""
    ground.kubectl.delete("hoatenant", name, "--wait=false")


def test_other_logins_in_a_transaction_do_not_hold_up_a_drop(ground: Ground, backends: Backends) -> None:
    body = prepared(ground, "visited")
    backends.run("CREATE ROLE analyst LOGIN SUPERUSER PASSWORD 'analyst'")
    database = body["status"]["database"]["name"]
    access = backends.server.access
    visitor = psycopg.connect(
        host=access.host, port=access.port, dbname=database, user="analyst", password="analyst", prepare_threshold=0
    )
    visitor.execute("SELECT count(*) FROM public.settings")  # left open, prepared, in its transaction
    delete(ground, "visited")
    is_gone(ground, backends, body)
    with pytest.raises(psycopg.OperationalError):
        visitor.execute("SELECT 1")
    visitor.close()
    backends.run("DROP ROLE analyst")


def test_a_prepared_transaction_holds_up_a_drop(ground: Ground, backends: Backends) -> None:
    body = prepared(ground, "promised")
    database = body["status"]["database"]["name"]
    backends.run("BEGIN; CREATE TABLE public.promised (); PREPARE TRANSACTION 'promised'", dbname=database)
    delete(ground, "promised")
    said = ground.until_said("promised", "DatabaseReady", "DatabaseBusy")
    assert lacks_words(said) == ""
    assert is_on_server(backends, database)
    backends.run("ROLLBACK PREPARED 'promised'", dbname=database)
    is_gone(ground, backends, body)


def test_a_session_that_does_not_end_holds_up_a_drop(ground: Ground, backends: Backends) -> None:
    body = prepared(ground, "frozen")
    database = body["status"]["database"]["name"]
    with backends.session(database) as session:
        backends.freeze(session.info.backend_pid)
        delete(ground, "frozen")
        said = ground.until_said("frozen", "DatabaseReady", "DatabaseBusy")
        assert lacks_words(said) == ""
        assert is_on_server(backends, database)
        backends.thaw()
        is_gone(ground, backends, body)


def end_the_session(backends: Backends) -> None:
    """End the session that drops."""
    backends.run(f"SELECT pg_terminate_backend({backends.caught(DROP)}, 20000)")
    backends.thaw()


def kill_the_server(backends: Backends) -> None:
    """Kill everything and start it again."""
    backends.crash()
    backends.server.start()


@pytest.mark.parametrize("hurt", [end_the_session, kill_the_server])
def test_a_drop_is_killed_in_its_middle(ground: Ground, backends: Backends, hurt: Callable[[Backends], None]) -> None:
    name = hurt.__name__.replace("_", "-")
    body = prepared(ground, name)
    backends.freeze(backends.checkpointer())
    delete(ground, name)
    backends.caught(DROP)
    hurt(backends)
    is_gone(ground, backends, body)


def test_what_is_not_proved_is_not_dropped_after_a_drop_was_killed(ground: Ground, backends: Backends) -> None:
    body = prepared(ground, "doubtful")
    database, oid = body["status"]["database"]["name"], None
    ((oid,),) = backends.ask("SELECT oid FROM pg_database WHERE datname = %s", database)
    backends.freeze(backends.checkpointer())
    delete(ground, "doubtful")
    pid = backends.caught(DROP)
    ground.operator.pause()
    backends.run(f"SELECT pg_terminate_backend({pid}, 20000)")
    backends.thaw()
    # A person makes the broken remains go and puts a database of the same name there.
    backends.run(f'DROP DATABASE "{database}"', f'CREATE DATABASE "{database}"')
    ground.operator.resume()
    said = ground.until_said("doubtful", "DatabaseReady", "OwnershipNotProven")
    assert lacks_words(said) == ""
    never([] if is_on_server(backends, database) else [database], "dropped without proof")
    ((now,),) = backends.ask("SELECT oid FROM pg_database WHERE datname = %s", database)
    assert now != oid
    ground.operator.pause()  # else it may find by itself that nothing is left, before it is asked to look
    backends.run(f'DROP DATABASE "{database}"')
    ground.kubectl("annotate", "hoatenant", "doubtful", "hoaconnect.com/retry=now")
    ground.operator.resume()
    is_gone(ground, backends, body)
