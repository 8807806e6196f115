"""JSON operations on sessions, the caller, API tokens, users and invitations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec

from hoa_app.api import ApiContext, Operation, Params, operation
from hoa_app.identity import invitations, users
from hoa_app.identity.accounts import Accounts
from hoa_app.identity.api_tokens import MAX_DAYS, create_token, list_tokens, revoke_token
from hoa_app.identity.roles import Role
from hoa_app.identity.sessions import API_SESSION, client_of, revoke_session
from hoa_app.problems import not_found
from hoa_app.web import services

RoleName = Literal["owner", "manager", "board", "homeowner"]


class SignIn(msgspec.Struct, frozen=True):
    """An address and its password."""

    email: str
    password: str


class Session(msgspec.Struct, frozen=True, rename="camel"):
    """Send the token as `Authorization: Bearer <token>`."""

    token: str
    expires_at: datetime


class Me(msgspec.Struct, frozen=True, rename="camel"):
    """Who the token stands for."""

    id: UUID
    email: str
    name: str
    role: RoleName
    permissions: list[str]
    tenant_id: UUID
    tenant: str


class Token(msgspec.Struct, frozen=True, rename="camel"):
    """An API token without the token."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime


class TokenList(msgspec.Struct, frozen=True):
    """All of them: nobody has more than a few."""

    items: list[Token]


class TokenBody(msgspec.Struct, frozen=True):
    """A new token's name and lifetime."""

    name: str
    days: int = 90


class TokenMade(msgspec.Struct, frozen=True, rename="camel"):
    """The only answer that holds the token."""

    id: UUID
    name: str
    token: str
    expires_at: datetime


class User(msgspec.Struct, frozen=True, rename="camel"):
    """Someone who can sign in."""

    id: UUID
    email: str
    name: str
    role: RoleName
    disabled: bool
    last_sign_in_at: datetime | None
    created_at: datetime


class UserList(msgspec.Struct, frozen=True):
    """One page of users."""

    items: list[User]
    next: str | None = None


class UserQuery(msgspec.Struct, frozen=True):
    """Keyset pagination by address."""

    after: str | None = None
    limit: int = 50


class UserChange(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What to change; absent members stay as they are."""

    role: RoleName | None = None
    disabled: bool | None = None


class InvitationBody(msgspec.Struct, frozen=True):
    """Whom to invite as what."""

    email: str
    name: str
    role: RoleName


class Invitation(msgspec.Struct, frozen=True, rename="camel"):
    """An invitation that nobody has accepted yet."""

    id: UUID
    email: str
    name: str
    role: RoleName
    created_at: datetime
    sent_at: datetime | None
    expires_at: datetime


class InvitationList(msgspec.Struct, frozen=True):
    """Those that are open."""

    items: list[Invitation]


@operation("POST", "/session", "Sign in", request=SignIn, response=Session, anonymous=True, status=201, tag="session")
async def sign_in(ctx: ApiContext, body: SignIn, _: Params) -> Session:
    """A session for a program that acts for a person; prefer an API token."""
    shared = services(ctx.request)
    accounts = Accounts(shared.passwords, shared.metrics)
    minted = await accounts.sign_in(ctx.db, body.email, body.password, client_of(ctx.request), browser=False)
    return Session(minted.token, datetime.now(UTC) + API_SESSION)


@operation("DELETE", "/session", "Sign out", tag="session")
async def sign_out(ctx: ApiContext, _: None, __: Params) -> None:
    """End the session that asks; a 404 for an API token, which is revoked under its id."""
    async with ctx.db.transaction(bookkeeping=True) as tx:
        if not await revoke_session(tx, ctx.actor.session_id, ctx.actor.user_id):
            raise not_found("session")


@operation("GET", "/me", "Who am I", response=Me, tag="session")
async def me(ctx: ApiContext, _: None, __: Params) -> Me:
    """The caller, and what their role allows."""
    actor = ctx.actor
    permissions = sorted(actor.permissions)
    return Me(
        actor.user_id, actor.email, actor.name, actor.role.value, permissions, ctx.tenant.id, ctx.tenant.display_name
    )


@operation("GET", "/tokens", "List your API tokens", response=TokenList)
async def list_api_tokens(ctx: ApiContext, _: None, __: Params) -> TokenList:
    """Never the tokens themselves."""
    async with ctx.db.transaction(readonly=True) as tx:
        return TokenList([Token(**row) for row in await list_tokens(tx, ctx.actor.user_id)])


@operation(
    "POST",
    "/tokens",
    f"Make an API token, good for at most {MAX_DAYS} days",
    request=TokenBody,
    response=TokenMade,
    status=201,
)
async def create_api_token(ctx: ApiContext, body: TokenBody, _: Params) -> TokenMade:
    """Shown once."""
    async with ctx.db.transaction() as tx:
        made = await create_token(tx, ctx.tenant, ctx.actor, body.name, body.days)
    return TokenMade(made.id, made.name, made.token, made.expires_at)


@operation("DELETE", "/tokens/{id:uuid}", "Revoke one of your API tokens")
async def revoke_api_token(ctx: ApiContext, _: None, params: Params) -> None:
    """It stops working at once."""
    async with ctx.db.transaction() as tx:
        await revoke_token(tx, ctx.actor, params["id"])


@operation("GET", "/users", "List users by address", response=UserList, permission="users:read", query=UserQuery)
async def list_users(ctx: ApiContext, _: None, params: Params) -> UserList:
    """A page of users."""
    query: UserQuery = params.query
    async with ctx.db.transaction(readonly=True) as tx:
        rows, following = await users.page(tx, query.after, max(1, min(query.limit, 200)))
    return UserList([User(**row) for row in rows], following)


@operation("GET", "/users/{id:uuid}", "Get a user", response=User, permission="users:read")
async def get_user(ctx: ApiContext, _: None, params: Params) -> User:
    """One user."""
    async with ctx.db.transaction(readonly=True) as tx:
        return User(**await users.get(tx, params["id"]))


@operation("PATCH", "/users/{id:uuid}", "Change a user", request=UserChange, response=User, permission="users:write")
async def change_user(ctx: ApiContext, body: UserChange, params: Params) -> User:
    """Their role, or whether they may sign in; acts on their next request."""
    async with ctx.db.transaction() as tx:
        role = Role(body.role) if body.role is not None else None
        return User(**await users.change(tx, ctx.actor, params["id"], role, body.disabled))


@operation("GET", "/invitations", "List open invitations", response=InvitationList, permission="users:invite")
async def list_invitations(ctx: ApiContext, _: None, __: Params) -> InvitationList:
    """Those that can still be accepted."""
    async with ctx.db.transaction(readonly=True) as tx:
        return InvitationList([Invitation(**row) for row in await invitations.list_open(tx)])


@operation(
    "POST",
    "/invitations",
    "Invite someone",
    request=InvitationBody,
    response=Invitation,
    permission="users:invite",
    status=201,
)
async def create_invitation(ctx: ApiContext, body: InvitationBody, _: Params) -> Invitation:
    """The mail leaves a moment later."""
    name, email = invitations.checked(body.name, body.email)
    async with ctx.db.transaction() as tx:
        made = await invitations.invite(tx, ctx.actor, email=email, name=name, role=Role(body.role))
        return Invitation(**await invitations.get_open(tx, made))


@operation("DELETE", "/invitations/{id:uuid}", "Withdraw an invitation", permission="users:invite")
async def withdraw_invitation(ctx: ApiContext, _: None, params: Params) -> None:
    """Its link stops working."""
    async with ctx.db.transaction() as tx:
        await invitations.withdraw(tx, ctx.actor, params["id"])


OPERATIONS: tuple[Operation, ...] = (
    sign_in,
    sign_out,
    me,
    list_api_tokens,
    create_api_token,
    revoke_api_token,
    list_users,
    get_user,
    change_user,
    list_invitations,
    create_invitation,
    withdraw_invitation,
)
