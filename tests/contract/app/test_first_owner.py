"""Whom the migration Job invites once a company has owners: who is named now, once, and nobody whom that would not let in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from hoa_app import migrate
from tests.contract.app.platform import MadeTenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.app.platform import Platform

FIRST, SECOND = "first@owner.example", "Second@owner.example"


class Company:
    """A migrated tenant whose first owner has accepted."""

    def __init__(self, platform: Platform, tenant: MadeTenant, monkeypatch: pytest.MonkeyPatch) -> None:
        self.platform = platform
        self.tenant = tenant
        monkeypatch.setattr(migrate, "_leave", lambda *_: None)

    def job(self, email: str, capsys: pytest.CaptureFixture[str]) -> str:
        """Run the Job for that admin, in this process; return what became of the invitation."""
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patched:
            environment = self.platform.job_environment(self.tenant, HOA_ADMIN_EMAIL=email)
            for name, value in environment.items():
                patched.setenv(name, value)
            assert migrate.main([], environment) == 0
        return str(json.loads(capsys.readouterr().out)["invitation"])

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with self.tenant.as_admin() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def account(self, email: str, role: str, *, closed: bool = False) -> None:
        self.sql(
            "INSERT INTO users (email, name, role, disabled_at) VALUES (%s, 'X', %s, CASE WHEN %s THEN now() END)",
            email, role, closed,
        )  # fmt: skip

    def accept(self, email: str) -> None:
        """Do what following the link does."""
        self.account(email, "owner")
        self.sql("UPDATE invitations SET accepted_at = now() WHERE email = %s AND revoked_at IS NULL", email)

    def open(self) -> list[str]:
        """Return the addresses whose link is good, each with the mails that carry it."""
        found = self.sql(
            "SELECT i.email, count(o.id) FROM invitations i LEFT JOIN outbox o ON o.dedupe_key = 'welcome-mail:' || i.id"
            " WHERE accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now() GROUP BY i.id ORDER BY 1"
        )
        return [f"{email} {mails}" for email, mails in found]


@pytest.fixture
def company(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Company]:
    tenant = MadeTenant(platform, f"owned-{uuid4().hex[:8]}", uuid4(), admin_email=FIRST)
    platform.make_database(tenant)
    made = Company(platform, tenant, monkeypatch)
    assert made.job(FIRST, capsys) == "Created"
    made.accept(FIRST)
    yield made
    with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
        platform.drop(connection, tenant)


def test_who_is_named_later_is_invited_too_once(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert company.job(FIRST, capsys) == "Exists"
    assert company.open() == []
    assert company.job(SECOND, capsys) == "Created"
    assert company.open() == [f"{SECOND} 1"]
    assert company.job(SECOND.lower(), capsys) == "Exists"
    assert company.open() == [f"{SECOND} 1"]
    company.accept(SECOND)
    assert company.job(SECOND, capsys) == "Exists"
    assert company.sql("SELECT count(*) FROM users WHERE disabled_at IS NULL") == [(2,)], "nobody is removed"


def test_a_link_to_who_is_not_named_any_more_is_void(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert company.job(SECOND, capsys) == "Created"
    assert company.job(FIRST, capsys) == "IsOwner"
    assert company.open() == []
    assert company.job(SECOND, capsys) == "Created", "there and back again"
    assert company.open() == [f"{SECOND} 1"]


@pytest.mark.parametrize(
    ("role", "closed", "outcome"),
    [
        ("owner", False, "IsOwner"),
        ("owner", True, "HasAccount"),
        ("manager", False, "HasAccount"),
        ("homeowner", False, "HasAccount"),
    ],
)
def test_who_has_an_account_is_not_invited(
    company: Company, capsys: pytest.CaptureFixture[str], role: str, closed: bool, outcome: str
) -> None:
    company.account(SECOND, role, closed=closed)
    assert company.job(SECOND.lower(), capsys) == outcome
    assert company.open() == []
    assert company.sql("SELECT role, disabled_at IS NOT NULL FROM users WHERE email = %s", SECOND) == [(role, closed)]


def test_an_owner_that_cannot_sign_in_is_none(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    company.sql("UPDATE users SET disabled_at = now(), email = 'moved@owner.example'")
    assert company.job(FIRST, capsys) == "Created"
    assert company.open() == [f"{FIRST} 1"]


@pytest.mark.parametrize("end", ["withdrawn", "run out", "moved"])
def test_what_an_owner_ended_is_not_begun_again_by_an_upgrade(
    company: Company, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    assert company.job(SECOND, capsys) == "Created"
    if end == "withdrawn":
        company.sql("UPDATE invitations SET revoked_at = now() WHERE email = %s", SECOND)
        company.sql(
            "INSERT INTO audit_log (actor_label, action, subject_type, subject_id, detail)"
            " SELECT 'first', 'invitations.revoked', 'invitation', id::text, '{}' FROM invitations WHERE email = %s",
            SECOND,
        )
    elif end == "run out":
        company.sql("UPDATE invitations SET expires_at = now() WHERE email = %s", SECOND)
    else:
        company.accept(SECOND)
        company.sql("UPDATE users SET email = 'moved@owner.example' WHERE email = %s", SECOND)
    assert company.job(SECOND, capsys) == "Exists"
    assert company.open() == []


def test_who_an_owner_invited_is_left_to_that(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    company.sql(
        "INSERT INTO invitations (email, name, role, invited_by) SELECT %s, 'X', 'owner', id FROM users", SECOND
    )
    assert company.job(SECOND, capsys) == "Invited"
    assert company.open() == [f"{SECOND} 0"]


def test_an_invitation_as_homeowner_becomes_one_as_owner(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    company.sql(
        "INSERT INTO invitations (email, name, role, invited_by) SELECT %s, 'X', 'homeowner', id FROM users", SECOND
    )
    assert company.job(SECOND, capsys) == "Created"
    assert company.open() == [f"{SECOND} 1"]
    found = company.sql("SELECT role FROM invitations WHERE email = %s AND revoked_at IS NULL", SECOND)
    assert found == [("owner",)]
