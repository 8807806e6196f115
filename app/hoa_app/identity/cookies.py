"""The app's two cookies. Over https their names begin with __Host-, so that no other host can plant them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from hoa_app.identity.sessions import ABSOLUTE


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and writing of cookies; `secure` is whether people reach the app over https."""

    secure: bool

    @property
    def session(self) -> str:
        """The session's token."""
        return "__Host-hoa_session" if self.secure else "hoa_session"

    @property
    def visit(self) -> str:
        """What forms are bound to before anyone has signed in."""
        return "__Host-hoa_visit" if self.secure else "hoa_visit"

    def set_session(self, response: Response, token: str) -> None:
        """Start (or rotate to) a session; the visit before it ends."""
        lifetime = int(ABSOLUTE.total_seconds())
        response.set_cookie(self.session, token, lifetime, path="/", secure=self.secure, httponly=True, samesite="lax")
        response.delete_cookie(self.visit, path="/", secure=self.secure, httponly=True, samesite="lax")

    def clear_session(self, response: Response) -> None:
        """Forget the session in the browser."""
        response.delete_cookie(self.session, path="/", secure=self.secure, httponly=True, samesite="lax")

    def no_session_header(self) -> bytes:
        """A Set-Cookie header that forgets the session."""
        return f"{self.session}=; Max-Age=0; Path=/; HttpOnly; SameSite=lax{self._tail}".encode("latin-1")

    def visit_header(self, value: str) -> bytes:
        """A Set-Cookie header for the visit."""
        return f"{self.visit}={value}; Path=/; HttpOnly; SameSite=lax{self._tail}".encode("latin-1")

    @property
    def _tail(self) -> str:
        return "; Secure" if self.secure else ""
