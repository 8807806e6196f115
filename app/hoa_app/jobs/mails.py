"""The spine's own mails: invitations and password resets. Links are made when the mail is; only hashes stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hoa_app.identity import invitations, resets
from hoa_app.identity.roles import Role

if TYPE_CHECKING:
    from hoa_app.db.session import Tx
    from hoa_app.feature import JobHandler
    from hoa_app.jobs.context import JobContext

INVITER = (
    "SELECT i.expires_at, u.name AS inviter FROM invitations i LEFT JOIN users u ON u.id = i.invited_by WHERE i.id = %s"
)


async def send_invitation(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """Mail the link of an invitation that is still open; should it be sent twice, the link is the same."""
    minted = await invitations.mint_link(tx, context.tenant, UUID(payload["invitation_id"]))
    if minted is None:
        return
    token, invitation = minted
    row = await (await tx.execute(INVITER, (invitation.id,))).fetchone()
    if row is None:
        return
    tenant = context.tenant
    await context.services.mailer.send(
        context,
        to=invitation.email,
        subject=f"Your invitation to {tenant.display_name}",
        template="mail/invitation",
        values={
            "name": invitation.name,
            "role": Role(invitation.role).label.lower(),
            "inviter": row["inviter"],
            "expires_at": row["expires_at"],
            "link": tenant.url(f"/invitation/{token}"),
        },
    )


async def send_password_reset(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """Mail the link of a reset that is still wanted, to an account that still exists."""
    minted = await resets.mint_link(tx, context.tenant, UUID(payload["reset_id"]))
    if minted is None:
        return
    token, email, name = minted
    tenant = context.tenant
    await context.services.mailer.send(
        context,
        to=email,
        subject=f"Choose a new password for {tenant.display_name}",
        template="mail/password_reset",
        values={"name": name, "link": tenant.url(f"/reset-password/{token}")},
    )


HANDLERS: Mapping[str, JobHandler] = {invitations.KIND: send_invitation, resets.KIND: send_password_reset}
