"""Which writes of a clean run the operator is broken at, and how the same write is found again in another run."""

from __future__ import annotations

from typing import Any

from tests.faults.apirequest import ApiRequest
from tests.faults.entries import Entry, record
from tests.faults.statement import Statement

OPERATOR = "hoa-operator/0a1b2c3d/operator-0"
ID = "0f3a" * 8


def statement(text: str, at: float, session: int = 1, **more: Any) -> Statement:
    known: dict[str, Any] = {
        "number": 1,
        "database": "postgres",
        "user": "postgres",
        "application": OPERATOR,
        "carried_out": True,
        "transaction": "I",
        **more,
    }
    return Statement(session=session, text=text, at=at, **known)


def request(verb: str, resource: str, name: str, at: float) -> ApiRequest:
    return ApiRequest(1, verb, resource, "", "ns", name, at)


def entries(requests: list[ApiRequest], statements: list[Statement]) -> list[str]:
    return [str(entry) for entry in record(requests, statements, "seabreeze").entries]


def test_writes_of_both_doors_are_entries_in_the_order_of_time() -> None:
    requests = [request("apply", "jobs", "tenant-seabreeze-migrate-0002", 3.0), request("get", "jobs", "x", 4.0)]
    statements = [statement(f'CREATE ROLE "hoa_connect_tenant_{ID}_app"', 1.0), statement("SELECT 1", 2.0)]
    assert entries(requests, statements) == [
        'pg [postgres] CREATE ROLE "hoa_connect_tenant_<id>_app" #1',
        "api apply jobs tenant-<tenant>-migrate-0002 #1",
    ]


def test_leases_events_reads_and_jobs_are_none() -> None:
    requests = [request("patch", "leases", "l", 1.0), request("create", "events", "e", 2.0)]
    job = statement("INSERT INTO users VALUES (1)", 3.0, application="hoa-migrate")
    prepared = statement("INSERT INTO tenants VALUES ($1)", 4.0, carried_out=False)
    recording = record(requests, [job, prepared, statement("SHOW all", 5.0)], "seabreeze")
    assert (recording.entries, recording.requests, recording.statements) == ((), 2, 1)


def test_the_same_words_again_are_another_entry() -> None:
    texts = ["UPDATE tenants SET state = 'Active'", "UPDATE tenants SET state = 'Suspended'"]
    found = record([], [statement(text, at) for at, text in enumerate(texts)], "seabreeze").entries
    assert found == (
        Entry("pg", "[postgres] UPDATE tenants SET state = '..'", 1),
        Entry("pg", "[postgres] UPDATE tenants SET state = '..'", 2),
    )


def test_a_commit_counts_if_something_was_written_in_its_session() -> None:
    def transaction(text: str, session: int, at: float) -> list[Statement]:
        return [
            statement("BEGIN", at, session, transaction="T"),
            statement(text, at + 1, session, transaction="T"),
            statement("COMMIT", at + 2, session),
        ]

    both = [*transaction("SELECT 1", 1, 1.0), *transaction("DELETE FROM tenants", 2, 10.0)]
    assert entries([], both) == ["pg [postgres] DELETE FROM tenants #1", "pg [postgres] COMMIT #1"]


def test_ending_sessions_is_an_entry_although_it_is_a_select() -> None:
    text = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1"
    assert entries([], [statement(text, 1.0)]) == [f"pg [postgres] {text} #1"]
