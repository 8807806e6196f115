"""The oracles of the random lives: what counts as made twice, as dropped without proof, and as a condition with advice."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.faults.ledger import Ledger
from tests.faults.statement import Statement
from tests.faults.words import lacks, lacks_words

if TYPE_CHECKING:
    from tests.cluster.jobs import JobRunner
    from tests.faults.installation import Installation

ONE, OTHER = "0" * 32, "1" * 32


def said(text: str, transaction: str = "I", error: str = "", session: int = 1, at: float = 0.0) -> Statement:
    return Statement(
        number=1, session=session, database="postgres", user="postgres", application="hoa-operator/x", text=text,
        carried_out=True, at=at, error=error, transaction=transaction,
    )  # fmt: skip


def complaints(*statements: Statement, dropped: dict[str, float] | None = None, migrated: int = 1) -> list[str]:
    """What a ledger says of these statements, and of a tenant that there was cause to migrate twice."""
    objects = SimpleNamespace(namespace="test")
    installation = cast("Installation", SimpleNamespace(pg=SimpleNamespace(journal=list(statements)), objects=objects))
    jobs = cast("JobRunner", SimpleNamespace(succeeded=Counter({"test/t1": migrated})))
    return list(Ledger(dropped or {}, Counter({"t1": 2})).complaints(installation, jobs))


def create(kind: str = "DATABASE", id_: str = ONE) -> str:
    return f'CREATE {kind} "hoa_connect_tenant_{id_}" OWNER x'


def drop(kind: str = "DATABASE", id_: str = ONE) -> str:
    return f'DROP {kind} "hoa_connect_tenant_{id_}" WITH (FORCE)'


def test_a_database_made_once_for_each_tenant_is_well() -> None:
    assert complaints(said(create()), said(create(id_=OTHER))) == []


def test_a_failed_or_unanswered_attempt_does_not_count() -> None:
    assert complaints(said(create(), error="53100"), said(create(), transaction=""), said(create())) == []


def test_a_second_one_is_told() -> None:
    assert complaints(said(create()), said(create())) == [f"made twice: {create()}"]


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_what_a_transaction_made_counts_when_it_is_committed(end: str) -> None:
    made = said(create("ROLE"), transaction="T"), said(end)
    told = complaints(*made, said(create("ROLE")))
    assert bool(told) == (end == "COMMIT")


def test_a_transaction_that_was_lost_made_nothing() -> None:
    assert complaints(said(create("ROLE"), transaction="T", session=1), said(create("ROLE"), session=2)) == []


def test_a_drop_needs_a_tenant_that_was_deleted_with_its_data_before() -> None:
    assert complaints(said(drop(), at=5.0)) == [f"dropped without proof: {drop()}"]
    assert complaints(said(drop(), at=5.0), dropped={ONE: 6.0}) == [f"dropped without proof: {drop()}"]
    assert complaints(said(create()), said(drop(), at=5.0), said(create()), dropped={ONE: 4.0}) == []


def test_what_roles_have_in_other_databases_is_dropped_under_the_same_terms() -> None:
    emptied = f'DROP OWNED BY "hoa_connect_tenant_{ONE}_owner", "hoa_connect_tenant_{ONE}_app"'
    assert complaints(said(emptied, at=5.0)) == [f"dropped without proof: {emptied}"]
    assert complaints(said(emptied, at=5.0), dropped={ONE: 4.0}) == []


def test_more_migrations_than_there_was_cause_for_are_told() -> None:
    assert complaints(migrated=2) == []
    assert complaints(migrated=3) == ["t1: 3 migrations ended well, and there was cause for 2"]
    assert complaints(migrated=0) == ["t1: 0 migrations ended well, and there was cause for 2"]


def test_advice_is_an_object_and_something_to_do() -> None:
    assert lacks_words("Secret x is missing; make it with the keys username and password") == ""
    assert lacks_words("it went wrong; make it right").startswith("names no object")
    assert lacks_words("Secret x is missing").startswith("says nothing to do")
    assert lacks_words("").startswith("names no object")


@pytest.mark.parametrize(
    "blind",
    [
        "the database is in use",
        "the Job failed, and no reason is set",
        "Secret x is set to a name that others use, see there",
        "Postgres at db.example.com:5432 refuses the password of role x; it is set again",
        "Ingress x is put together, and the host has to wait",
        "HOADatabaseServer x cannot be asked: name resolution failed",
        "role x: its comment does not carry this tenant's identity; nothing was changed",
        "Job x: it would be run again. It runs again",
        "spec.tier 'x' is no HOATier of this namespace",
        "host x waits: 20 certificates an hour are asked for (ingress.certificates.perHour)",
    ],
)
def test_a_word_of_advice_in_a_sentence_that_gives_none_is_not_enough(blind: str) -> None:
    assert lacks_words(blind).startswith("says nothing to do")


@pytest.mark.parametrize(
    "helpful",
    [
        "HOADatabaseServer 'x' does not exist; create it or correct the name",
        "database x: its owner is another; nothing was changed. Look at it with psql and remove or rename it",
        "Postgres at x: ERROR; other sessions hold it; it is tried again; should it last, end them",
        "sessions are connected to template x on y; it is tried again. Should it last, end them",
        "Job x: MigrationFailed: it ended; see kubectl logs of the Job's pods",
        'a database is open to everyone, have a superuser run: REVOKE CONNECT ON DATABASE "x" FROM PUBLIC',
        "database x is not on its server (docs/operations/lost-server.md)",
        "Secret x is not this tenant's, or annotate the HOATenant with hoaconnect.com/retry=now",
        "Deployment x is not available, as `helm status x` says",
    ],
)
def test_advice_has_many_forms(helpful: str) -> None:
    assert lacks_words(helpful) == ""


@pytest.mark.parametrize(
    ("kind", "status", "reason", "silent"),
    [
        ("Ready", "True", "Serving", True),
        ("Ready", "False", "Broken", False),
        ("Ready", "Unknown", "Broken", False),
        ("Ready", "False", "Provisioning", True),
        ("Stalled", "False", "Anything", True),
        ("Stalled", "True", "Broken", False),
        ("DatabaseReady", "False", "Differs", True),
        ("Ready", "False", "Differs", True),
        ("InSync", "False", "Differs", False),
        ("InSync", "True", "NoDifference", True),
        ("Deleting", "True", "InProgress", True),
        ("Deleting", "True", "DeletionPaused", False),
        ("CredentialsReady", "True", "InForce", True),
        ("CredentialsReady", "True", "RotationWaits", False),
        ("DatabaseReady", "True", "UsageUnreadable", False),
        ("DatabaseReady", "True", "PasswordRefused", True),
        ("StorageWithinLimit", "True", "WithinLimit", True),
        ("StorageWithinLimit", "True", "NearLimit", False),
    ],
)
def test_only_what_is_ill_and_does_not_pass_needs_advice(kind: str, status: str, reason: str, silent: bool) -> None:
    found = {"type": kind, "status": status, "reason": reason, "message": "no"}
    assert (lacks(found) == "") == silent
