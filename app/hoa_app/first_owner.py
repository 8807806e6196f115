"""Invites whom `spec.admin` names, as the migration Job does (docs/contract.md, section 4): the first owner of a new tenant, and
later whoever is named instead. Accounts are left alone."""

from __future__ import annotations

from typing import Any

import psycopg

CREATED, EXISTS, IS_OWNER, INVITED, HAS_ACCOUNT = "Created", "Exists", "IsOwner", "Invited", "HasAccount"
_UNANSWERED = "accepted_at IS NULL AND revoked_at IS NULL"
#: Nobody invited whom the Job invited.
_OURS = "role = 'owner' AND invited_by IS NULL"


def invite(connection: psycopg.Connection[Any], email: str, name: str) -> str:
    """Invite the address where that is needed, and withdraw what the Job sent to another one. Returns what became of it.

    `Created`; `Exists`, where the Job's last invitation went to that address; where the Job sends nothing: `IsOwner`,
    `HasAccount` (one that is no owner's, or closed), `Invited` (as owner, by another one in the portal).
    """
    connection.execute(
        f"UPDATE invitations SET revoked_at = now() WHERE {_UNANSWERED} AND {_OURS} AND lower(email) <> lower(%s)",  # noqa: S608
        (email,),
    )
    last = _last_to(connection, email)
    account = connection.execute(
        "SELECT role = 'owner' AND disabled_at IS NULL FROM users WHERE lower(email) = lower(%s)", (email,)
    ).fetchone()
    if account is not None:
        return EXISTS if last is not None else IS_OWNER if account[0] else HAS_ACCOUNT
    still_open = connection.execute(
        f"SELECT id, {_OURS} FROM invitations WHERE {_UNANSWERED} AND role = 'owner' AND lower(email) = lower(%s)"  # noqa: S608
        " AND expires_at > now()",
        (email,),
    ).fetchone()
    if still_open is not None:
        _send_again(connection, str(still_open[0]))
        return EXISTS if still_open[1] else INVITED
    if last is not None and _was_answered(connection, last):
        return EXISTS
    _create(connection, email, name)
    return CREATED


def _last_to(connection: psycopg.Connection[Any], email: str) -> str | None:
    """The id of the Job's last invitation, if it went to that address."""
    row = connection.execute(
        f"SELECT id, lower(email) = lower(%s) FROM invitations WHERE {_OURS} ORDER BY created_at DESC, id LIMIT 1",  # noqa: S608
        (email,),
    ).fetchone()
    return str(row[0]) if row is not None and row[1] else None


def _was_answered(connection: psycopg.Connection[Any], invitation: str) -> bool:
    """Whether an invitation was accepted, withdrawn by a person or left to run out while there is an owner who can invite
    anew: such a one is not repeated at each upgrade. One that the Job itself withdrew is."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM users WHERE role = 'owner' AND disabled_at IS NULL) AND (revoked_at IS NULL OR EXISTS"
        " (SELECT FROM audit_log WHERE action = 'invitations.revoked' AND subject_id = %s)) FROM invitations WHERE id = %s",
        (invitation, invitation),
    ).fetchone()
    return row is not None and bool(row[0])


def _send_again(connection: psycopg.Connection[Any], invitation: str) -> None:
    connection.execute(
        "UPDATE outbox SET state = 'queued', attempts = 0, next_attempt_at = now(), finished_at = NULL"
        " WHERE state = 'dead' AND dedupe_key = 'welcome-mail:' || %s",
        (invitation,),
    )


def _create(connection: psycopg.Connection[Any], email: str, name: str) -> None:
    """Write the invitation and its mail instead of any other that is unanswered, such as one as homeowner."""
    connection.execute(
        f"UPDATE invitations SET revoked_at = now() WHERE {_UNANSWERED} AND lower(email) = lower(%s)",  # noqa: S608
        (email,),
    )
    connection.execute(
        "WITH invited AS (INSERT INTO invitations (email, name, role) VALUES (%s, %s, 'owner') RETURNING id, email),"
        " queued AS (INSERT INTO outbox (kind, payload, dedupe_key) SELECT 'mail.invitation',"
        "   jsonb_build_object('invitation_id', id), 'welcome-mail:' || id FROM invited)"
        " INSERT INTO audit_log (actor_label, action, subject_type, subject_id, detail)"
        " SELECT 'system', 'invitations.created', 'invitation', id::text, jsonb_build_object('email', email,"
        "   'role', 'owner') FROM invited",
        (email, name),
    )
