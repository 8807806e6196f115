"""Pages for coming in and going out: sign-in, invitation, forgotten password."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.feature import InvitationHook, NavItem
from hoa_app.identity import account_routes, invitations, resets
from hoa_app.identity.accounts import Accounts
from hoa_app.identity.actor import Actor
from hoa_app.identity.cookies import Cookies
from hoa_app.identity.passwords import password_errors
from hoa_app.identity.sessions import client_of, open_session, revoke_session
from hoa_app.problems import Problem
from hoa_app.services import Services
from hoa_app.web import form_text, redirect, render, safe_next, services

NAV = (NavItem("Account", "/account", None, 90, "account"),)


def accounts(request: Request) -> Accounts:
    """Signing in with what the process shares."""
    shared = services(request)
    return Accounts(shared.passwords, shared.metrics)


def cookies_of(request: Request) -> Cookies:
    """The app's cookies."""
    return Cookies(secure=services(request).settings.secure)


async def sign_in_page(request: Request) -> Response:
    """The form; whoever is signed in goes on."""
    target = safe_next(request.query_params.get("next"))
    if request.state.actor is not None:
        return redirect(request, target)
    return _sign_in_form(request, target, {}, {})


async def sign_in(request: Request) -> Response:
    """Check the password, start a session under a new token, end the one that was there."""
    form = await form_text(request)
    target, email = safe_next(form.get("next")), form.get("email", "")
    try:
        minted = await accounts(request).sign_in(request.state.db, email, form.get("password", ""), client_of(request))
    except Problem as problem:
        if problem.status not in (401, 429):
            raise
        return _sign_in_form(request, target, {"email": email}, {"form": problem.detail}, problem)
    await _end_current(request)
    response = redirect(request, target)
    cookies_of(request).set_session(response, minted.token)
    return response


def _sign_in_form(
    request: Request, target: str, values: dict[str, str], errors: dict[str, str], problem: Problem | None = None
) -> Response:
    status = problem.status if problem else 200
    response = render(request, "auth/sign_in.html", {"next": target, "values": values, "errors": errors}, status)
    if problem:
        response.headers.update(problem.headers)
    return response


async def sign_out(request: Request) -> Response:
    """End the session in the database, not only in the browser."""
    await _end_current(request)
    response = redirect(request, "/sign-in")
    cookies_of(request).clear_session(response)
    return response


async def _end_current(request: Request) -> None:
    actor: Actor | None = request.state.actor
    if actor is not None and actor.via == "session":
        async with request.state.db.transaction(bookkeeping=True) as tx:
            await revoke_session(tx, actor.session_id, actor.user_id)


async def invitation_page(request: Request) -> Response:
    """What one is invited to, and the form to accept."""
    async with request.state.db.transaction(readonly=True) as tx:
        found = await invitations.find(tx, request.path_params["token"])
    return _invitation_form(request, found, {"name": found.name}, {})


async def accept_invitation(request: Request) -> Response:
    """Make the user, sign them in."""
    token = request.path_params["token"]
    form = await form_text(request)
    async with request.state.db.transaction(readonly=True) as tx:
        found = await invitations.find(tx, token)
    values = {"name": form.get("name", "").strip(), "consent": form.get("consent", "")}
    errors = _invitation_errors(form, values, found)
    if errors:
        return _invitation_form(request, found, values, errors, 422)
    hashed = await services(request).passwords.hash(request.state.tenant.id, form["password"])
    async with request.state.db.transaction() as tx:
        user_id = await invitations.accept(tx, token, values["name"], hashed, _hooks(services(request)))
        minted = await open_session(tx, request.state.tenant, user_id, client_of(request))
    response = redirect(request, "/", flash=f"Welcome, {values['name']}.")
    cookies_of(request).set_session(response, minted.token)
    return response


def _invitation_errors(
    form: dict[str, str], values: dict[str, str], found: invitations.OpenInvitation
) -> dict[str, str]:
    errors = {}
    if not 1 <= len(values["name"]) <= 160:
        errors["name"] = "Tell us your name, in at most 160 characters."
    errors.update(password_errors(form, found.email, values["name"]))
    if not values["consent"]:
        errors["consent"] = "Agree to the terms to go on."
    return errors


def _invitation_form(
    request: Request,
    found: invitations.OpenInvitation,
    values: dict[str, str],
    errors: dict[str, str],
    status: int = 200,
) -> Response:
    context = {"invitation": found, "values": values, "errors": errors}
    return render(request, "auth/invitation.html", context, status)


def _hooks(shared: Services) -> list[InvitationHook]:
    return [feature.on_invitation_accepted for feature in shared.features if feature.on_invitation_accepted]


async def forgot_page(request: Request) -> Response:
    """Ask for a link."""
    return _forgot_form(request, "", {})


async def forgot(request: Request) -> Response:
    """The same answer for every address."""
    form = await form_text(request)
    email = form.get("email", "").strip()
    if "@" not in email:
        return _forgot_form(request, email, {"email": "Enter the address you sign in with."}, status=422)
    async with request.state.db.transaction() as tx:
        await resets.ask(tx, email)
    return _forgot_form(request, email, {}, sent_to=email)


def _forgot_form(
    request: Request, email: str, errors: dict[str, str], *, sent_to: str = "", status: int = 200
) -> Response:
    context = {"values": {"email": email}, "errors": errors, "sent_to": sent_to}
    return render(request, "auth/forgot.html", context, status)


async def reset_page(request: Request) -> Response:
    """Choose a new password."""
    async with request.state.db.transaction(readonly=True) as tx:
        email = await resets.check(tx, request.path_params["token"])
    return _reset_form(request, email, {})


async def reset(request: Request) -> Response:
    """Set it; every session ends, so the person signs in anew."""
    form = await form_text(request)
    token = request.path_params["token"]
    async with request.state.db.transaction(readonly=True) as tx:
        email = await resets.check(tx, token)
    errors = password_errors(form, email)
    if errors:
        return _reset_form(request, email, errors, 422)
    hashed = await services(request).passwords.hash(request.state.tenant.id, form["password"])
    async with request.state.db.transaction() as tx:
        await resets.use(tx, token, hashed)
    response = redirect(request, "/sign-in", flash="Your new password is set. Sign in with it.")
    cookies_of(request).clear_session(response)
    return response


def _reset_form(request: Request, email: str, errors: dict[str, str], status: int = 200) -> Response:
    return render(request, "auth/reset.html", {"email": email, "errors": errors}, status)


ROUTES: tuple[BaseRoute, ...] = (
    Route("/sign-in", sign_in_page, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/invitation/{token}", invitation_page, methods=["GET"]),
    Route("/invitation/{token}", accept_invitation, methods=["POST"]),
    Route("/forgot-password", forgot_page, methods=["GET"]),
    Route("/forgot-password", forgot, methods=["POST"]),
    Route("/reset-password/{token}", reset_page, methods=["GET"]),
    Route("/reset-password/{token}", reset, methods=["POST"]),
    *account_routes.ROUTES,
)
