"""A person's own account: password, sessions, API tokens."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.audit import audit
from hoa_app.identity.accounts import Accounts, change_password
from hoa_app.identity.actor import Actor, requires
from hoa_app.identity.api_tokens import create_token, list_tokens, revoke_token, revoke_tokens
from hoa_app.identity.passwords import password_errors
from hoa_app.identity.sessions import client_of, list_sessions, revoke_all, revoke_session
from hoa_app.problems import Problem, not_found
from hoa_app.web import form_text, redirect, render, services


@requires()
async def account(request: Request) -> Response:
    """Everything on one page."""
    return await _page(request)


async def _page(request: Request, status: int = 200, **more: Any) -> Response:
    actor: Actor = request.state.actor
    async with request.state.db.transaction(readonly=True) as tx:
        sessions = await list_sessions(tx, actor.user_id)
        tokens = await list_tokens(tx, actor.user_id)
    context = {"sessions": sessions, "tokens": tokens, "values": {}, "errors": {}, "new_token": None, **more}
    return render(request, "auth/account.html", context, status)


@requires()
async def password(request: Request) -> Response:
    """Change the password with the current one; every other session ends, and if asked for every API token."""
    actor: Actor = request.state.actor
    form = await form_text(request)
    shared = services(request)
    checking = Accounts(shared.passwords, shared.metrics)
    try:
        good = await checking.confirm(request.state.db, actor, form.get("current", ""), client_of(request))
    except Problem as problem:
        if problem.status != 429:
            raise
        return await _page(request, 429, errors={"current": f"{problem.title}. {problem.detail}"})
    wrong = {"current": "This is not your current password."}
    errors = password_errors(form, actor.email, actor.name) if good else wrong
    if errors:
        return await _page(request, 422, errors=errors)
    hashed = await shared.passwords.hash(request.state.tenant.id, form["password"])
    async with request.state.db.transaction() as tx:
        await change_password(tx, actor.user_id, hashed)
        await revoke_all(tx, actor.user_id, keep=actor.session_id)
        ended = await revoke_tokens(tx, actor.user_id) if form.get("revoke_tokens") else 0
        await audit(tx, actor, "passwords.changed", "user", actor.user_id, {"tokensRevoked": ended} if ended else None)
    done = "Your password is changed. Other devices were signed out."
    return redirect(request, "/account", flash=f"{done} Your API tokens no longer work." if ended else done)


@requires()
async def new_token(request: Request) -> Response:
    """Make an API token and show it, this once."""
    form = await form_text(request)
    name, days = form.get("token_name", ""), form.get("token_days", "90")
    try:
        async with request.state.db.transaction() as tx:
            made = await create_token(
                tx,
                request.state.tenant,
                request.state.actor,
                name,
                int(days) if days.isdecimal() and len(days) < 5 else 0,
            )
    except Problem as problem:
        if not problem.errors:
            raise
        errors = {f"token_{error['field']}": str(error["detail"]) for error in problem.errors}
        return await _page(request, 422, errors=errors, values={"token_name": name, "token_days": days})
    return await _page(request, new_token=made)


@requires()
async def end_token(request: Request) -> Response:
    """Revoke one."""
    async with request.state.db.transaction() as tx:
        await revoke_token(tx, request.state.actor, request.path_params["id"])
    return redirect(request, "/account", flash="The token no longer works.")


@requires()
async def end_session(request: Request) -> Response:
    """Sign another device out."""
    actor: Actor = request.state.actor
    async with request.state.db.transaction() as tx:
        if not await revoke_session(tx, request.path_params["id"], actor.user_id):
            raise not_found("session")
    return redirect(request, "/account", flash="That device is signed out.")


@requires()
async def sign_out_elsewhere(request: Request) -> Response:
    """End every session but this one."""
    actor: Actor = request.state.actor
    async with request.state.db.transaction() as tx:
        await revoke_all(tx, actor.user_id, keep=actor.session_id)
    return redirect(request, "/account", flash="You are signed out everywhere else.")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/account", account, methods=["GET"]),
    Route("/account/password", password, methods=["POST"]),
    Route("/account/sign-out-elsewhere", sign_out_elsewhere, methods=["POST"]),
    Route("/account/tokens", new_token, methods=["POST"]),
    Route("/account/tokens/{id:uuid}/revoke", end_token, methods=["POST"]),
    Route("/account/sessions/{id:uuid}/revoke", end_session, methods=["POST"]),
)
