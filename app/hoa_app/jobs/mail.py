"""Sending one mail: branded text and HTML, a stable Message-ID per outbox row, failures sorted by whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import TYPE_CHECKING, Any

import aiosmtplib
from markupsafe import Markup

from hoa_app.jobs.breaker import Breaker, OpenError, ServerAwayError
from hoa_app.jobs.outcome import JobError, Permanent, Postponed

if TYPE_CHECKING:
    from hoa_app.jobs.context import JobContext
    from hoa_app.metrics import Metrics
    from hoa_app.settings import MailSettings
    from hoa_app.tenancy.tenant import Tenant

DEFAULT_COLOR = "#1f5f8b"


@dataclass
class Tally:
    """How many mails one row has sent."""

    sent: int = 0


@dataclass(frozen=True)
class Mailer:
    """Writes and sends mail; `breaker` is shared by all that share a mail server."""

    settings: MailSettings
    metrics: Metrics
    breaker: Breaker = field(default_factory=Breaker)
    tally: Tally = field(default_factory=Tally)

    @property
    def configured(self) -> bool:
        """Whether there is a mail server at all."""
        return bool(self.settings.host)

    async def check(self) -> None:
        """Raise unless the mail server greets; says nothing to it but hello and goodbye."""
        settings = self.settings
        async with aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.timeout_seconds,
            use_tls=settings.implicit_tls,
            start_tls=False,
        ) as client:
            await client.ehlo()

    def tallied(self) -> Mailer:
        """The same mailer with a count of its own, so that a row's mails are booked with the row."""
        return replace(self, tally=Tally())

    async def send(
        self, context: JobContext, *, to: str, subject: str, template: str, values: Mapping[str, Any]
    ) -> None:
        """Send `template`.txt with `template`.html to one address, or raise what the worker is to make of it."""
        templates = context.services.templates
        page = {**values, **page_values(context.tenant)}
        message = compose(self.settings.sender, context, to=to, subject=subject)
        message.set_content(templates.get_template(f"{template}.txt").render(page))
        body = Markup(templates.get_template(f"{template}.html").render(page))  # noqa: S704 - escaped by Jinja
        framed = templates.get_template("mail/frame.html").render({**page, "subject": subject, "content": body})
        message.add_alternative(framed, subtype="html")
        await self._deliver(message, to)
        self.tally.sent += 1

    async def _deliver(self, message: EmailMessage, to: str) -> None:
        try:
            with self.breaker.guard():
                await transmit(self.settings, message, to)
        except OpenError as error:
            raise Postponed(
                f"The mail server is away ({self.breaker.last_failure}); trying again later.", error.retry_after
            ) from error
        except ServerAwayError as error:
            raise Postponed(f"The mail server is away: {error}", self.breaker.pause) from error
        finally:
            self.metrics.breaker_open.labels("mail").set(self.breaker.is_open)


async def transmit(settings: MailSettings, message: EmailMessage, to: str) -> None:
    """One SMTP conversation; raises ServerAwayError, Permanent or JobError."""
    if not settings.host:
        raise ServerAwayError("no mail server is configured; set HOA_SMTP_URL")
    try:
        async with asyncio.timeout(settings.timeout_seconds):
            await aiosmtplib.send(
                message,
                recipients=[to],
                hostname=settings.host,
                port=settings.port,
                username=settings.username or None,
                password=_password(settings),
                timeout=settings.timeout_seconds,
                use_tls=settings.implicit_tls,
                # A password never travels in the clear: with a user name, TLS is a condition, not an offer.
                start_tls=False if settings.implicit_tls else (True if settings.username else None),
            )
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise sort_failure(error, f"{settings.host}:{settings.port}") from error


def _password(settings: MailSettings) -> str | None:
    if not settings.username or settings.password_file is None:
        return None
    return settings.password_file.read_text().strip()


def sort_failure(error: Exception, server: str) -> Exception:
    """Whose failure it is: the address's for good, this message's for now, or the server's."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        # One mail has one recipient.
        return sort_failure(error.recipients[0], server)
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return JobError(f"The mail server cannot do what this message needs: {first_line(str(error))}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return sort_answer(error, server)
    if isinstance(error, TimeoutError):
        return ServerAwayError(f"{server} did not answer in time")
    return ServerAwayError(f"{server} cannot be reached ({type(error).__name__})")


def sort_answer(error: aiosmtplib.SMTPResponseException, server: str) -> Exception:
    """The same for what the server said. What it says of greeting, login or itself is no message's fault."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # Its text may repeat what was sent.
        return ServerAwayError(f"{server} does not accept the user name and password (answer {error.code})")
    answer = f"{error.code} {first_line(error.message)}"
    about_message = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    if error.code == 421 or not (about_message or isinstance(error, aiosmtplib.SMTPSenderRefused)):
        return ServerAwayError(f"{server} answered {answer}")
    if about_message and error.code >= 500:
        return Permanent(f"The mail server refused the message for good: {answer}")
    return JobError(f"The mail server did not take the message: {answer}")


def first_line(text: str) -> str:
    """What fits into a message for people."""
    return next(iter(text.splitlines()), "")[:160]


def compose(sender: str, context: JobContext, *, to: str, subject: str) -> EmailMessage:
    """The headers. The Message-ID comes from the row, so a mail sent twice is seen to be the same one."""
    own = Address(addr_spec=parseaddr(sender)[1])
    message = EmailMessage()
    try:
        message["To"] = Address(addr_spec=to)
    except (MessageError, ValueError, IndexError) as error:
        raise Permanent(f"{to[:100]!r} is not an address that mail can be sent to") from error
    message["From"] = Address(one_line(context.tenant.display_name), own.username, own.domain)
    message["Subject"] = one_line(subject)[:300]
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{context.row_id}@{own.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if context.tenant.branding.support_email:
        message["Reply-To"] = one_line(context.tenant.branding.support_email)
    return message


def one_line(text: str) -> str:
    """`text` as a header may hold it: a line break in it would start another header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def page_values(tenant: Tenant) -> dict[str, Any]:
    """What every mail template may use besides its own values."""
    color = tenant.branding.primary_color or DEFAULT_COLOR
    return {
        "tenant": tenant,
        "branding": tenant.branding,
        "color": color,
        "ink": readable_on(color),
        "support_email": tenant.branding.support_email,
        "home": tenant.url("/"),
    }


def readable_on(color: str) -> str:
    """Black or white, whichever reads better on `color` (#rrggbb), by relative luminance."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "#ffffff"
