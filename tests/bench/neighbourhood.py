"""One tenant with a neighbourhood in it: communities, homes and owners by a few statements, and staff who are signed in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import dict_row

from hoa_app.identity.sessions import ABSOLUTE
from hoa_app.identity.tokens import Minted, mint
from hoa_app.settings import Settings
from hoa_app.tenancy.registry import parse_tenant, unseal
from hoa_app.tenancy.sealing import Unsealer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from hoa_app.tenancy.tenant import Tenant
    from tests.contract.app.platform import MadeTenant

COMMUNITIES = """
INSERT INTO communities (name, address, time_zone)
SELECT 'Community ' || n, n || ' Main Street', 'America/Los_Angeles' FROM generate_series(1, %(communities)s) n
"""
UNITS = """
INSERT INTO units (community_id, label, address)
SELECT c.id, 'Unit ' || n, n || ' Ocean View Drive'
  FROM (SELECT id, row_number() OVER (ORDER BY name) - 1 AS place FROM communities) c
  JOIN generate_series(1, %(people)s) n ON n %% %(communities)s = c.place
"""
PEOPLE = """
INSERT INTO people (name, email, phone, mailing_address)
SELECT (ARRAY['Avery', 'Blake', 'Casey', 'Drew', 'Emery', 'Finley', 'Harper', 'Jordan'])[1 + n %% 8] || ' '
       || (ARRAY['Alvarez', 'Brooks', 'Chen', 'Diaz', 'Evans', 'Foster', 'Gupta'])[1 + n %% 7] || ' ' || n,
       'homeowner' || n || '@mail.example', '+1 555 ' || lpad(n::text, 7, '0'), n || ' Ocean View Drive'
  FROM generate_series(1, %(people)s) n
"""
OWNERSHIPS = """
INSERT INTO ownerships (person_id, unit_id, valid_from, is_primary)
SELECT p.id, u.id, date '2020-01-01', true
  FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM people) p
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM units) u USING (place)
"""
USERS = """
INSERT INTO users (email, name, role)
SELECT 'staff' || n || '@company.example', 'Staff ' || n, 'manager' FROM generate_series(1, %(staff)s) n
"""
INVITATIONS = """
INSERT INTO invitations (email, name, role, person_id, token_hash, sent_at)
SELECT email, name, 'homeowner', id, sha256(id::text::bytea), now()
  FROM (SELECT *, row_number() OVER (ORDER BY lower(name) COLLATE "C") AS place FROM people) p
 WHERE place %% 10 = 0
"""


@dataclass(frozen=True)
class SignedIn:
    """Someone who is signed in: the id of the user, and what their browser shows."""

    id: UUID
    minted: Minted
    csrf: str


@dataclass(frozen=True)
class Neighbourhood:
    """What there is to ask for."""

    tenant: MadeTenant
    people: Sequence[UUID]
    staff: Sequence[SignedIn]


def settle(tenant: MadeTenant, people: int, staff: int, communities: int = 10) -> Neighbourhood:
    """Fill the tenant and sign its staff in."""
    sizes = {"people": people, "staff": staff, "communities": communities}
    with tenant.as_admin() as connection:
        for statement in (COMMUNITIES, UNITS, PEOPLE, OWNERSHIPS, INVITATIONS, USERS):
            connection.execute(statement, sizes)
        signed_in = sign_in(tenant, connection)
        found = [row[0] for row in connection.execute("SELECT id FROM people ORDER BY id").fetchall()]
        connection.execute("VACUUM ANALYZE")
    assert (len(found), len(signed_in)) == (people, staff)
    return Neighbourhood(tenant, found, signed_in)


def sign_in(tenant: MadeTenant, connection: psycopg.Connection, role: str = "manager") -> list[SignedIn]:
    """Give everybody of a role a session, by the app's own token and the row it points to."""
    known = as_the_app_knows(tenant)
    users = connection.execute("SELECT id FROM users WHERE role = %s ORDER BY id", (role,)).fetchall()
    expires_at = int(time.time() + ABSOLUTE.total_seconds())
    found = []
    for (user_id,) in users:
        minted = mint(known, "session", expires_at)
        row = connection.execute(
            "INSERT INTO sessions (token_hash, user_id, expires_at) VALUES (%s, %s, to_timestamp(%s)) RETURNING id",
            (minted.token_hash, user_id, expires_at),
        ).fetchone()
        assert row is not None
        found.append(SignedIn(user_id, minted, known.keys.mac("csrf", f"session:{row[0]}")))
    return found


def as_the_app_knows(tenant: MadeTenant) -> Tenant:
    """Read the tenant from the registry as the app does."""
    platform = tenant.platform
    settings = Settings.from_env(platform.environment())
    with psycopg.connect(platform.access.dsn(platform.registry), row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM tenants WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert row is not None
    return parse_tenant(row, unseal(row, Unsealer(platform.sealing_keys_file)), settings)
