"""Mail: one message per outbox row, rendered when it leaves, with an id that stays the same however often it is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from datetime import UTC, datetime
from typing import Any, Protocol

import aiosmtplib
from jinja2 import Environment

from hoa_app.jobs.breaker import Breaker
from hoa_app.jobs.context import JobContext
from hoa_app.metrics import Metrics
from hoa_app.settings import MailSettings, Settings

TRANSIENT = (
    aiosmtplib.SMTPConnectError,
    aiosmtplib.SMTPServerDisconnected,
    aiosmtplib.SMTPTimeoutError,
    aiosmtplib.SMTPAuthenticationError,
    OSError,
    TimeoutError,
)


class PermanentError(Exception):
    """Trying again would end the same way: the row is given up and shown as dead."""


class NotConfiguredError(Exception):
    """HOA_SMTP_URL is not set; mail waits until it is."""


class Transport(Protocol):
    """Carries one message to the next server."""

    async def send(self, message: EmailMessage) -> None:
        """Return when the server has taken it."""
        ...


class SmtpTransport:
    """One SMTP conversation per message, with a limit on its whole length."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, message: EmailMessage) -> None:
        """See Transport."""
        settings = self._settings
        password = settings.password_file.read_text(encoding="utf-8").strip() if settings.password_file else None
        async with asyncio.timeout(settings.timeout_seconds):
            await aiosmtplib.send(
                message,
                hostname=settings.host,
                port=settings.port,
                username=settings.username or None,
                password=password,
                use_tls=settings.implicit_tls,
                timeout=settings.timeout_seconds,
            )

    async def check(self) -> None:
        """Raise unless something accepts connections there."""
        _, writer = await asyncio.open_connection(self._settings.host, self._settings.port)
        writer.close()
        await writer.wait_closed()


class Mailer:
    """What handlers of mail jobs use."""

    def __init__(self, settings: Settings, templates: Environment, metrics: Metrics) -> None:
        self._settings = settings.mail
        self._templates = templates
        self._transport = SmtpTransport(settings.mail)
        self._breaker = Breaker("smtp", metrics)

    @property
    def configured(self) -> bool:
        """Whether there is a mail server to talk to."""
        return bool(self._settings.host)

    async def check(self) -> None:
        """For /health."""
        await self._transport.check()

    async def send(
        self, context: JobContext, *, to: str, subject: str, template: str, values: Mapping[str, Any]
    ) -> None:
        """Render `template`.txt and .html and send. Raises; the worker retries, or gives up on a PermanentError."""
        if not self.configured:
            raise NotConfiguredError("HOA_SMTP_URL is not set")
        message = self._message(context, to, subject, template, values)
        async with self._breaker.guard(TRANSIENT):
            try:
                await self._transport.send(message)
            except aiosmtplib.SMTPRecipientsRefused as error:
                raise _refused([recipient.code for recipient in error.recipients], error) from None
            except aiosmtplib.SMTPAuthenticationError:
                raise
            except aiosmtplib.SMTPResponseException as error:
                raise _refused([error.code], error) from None
        context.sent.append(str(message["Message-ID"]))

    def _message(
        self, context: JobContext, to: str, subject: str, template: str, values: Mapping[str, Any]
    ) -> EmailMessage:
        tenant = context.tenant
        page = {"tenant": tenant, "branding": tenant.branding, "subject": subject, **values}
        message = EmailMessage()
        message["Message-ID"] = f"<{context.row_id}@{tenant.hosts[0] if tenant.hosts else 'hoa-connect'}>"
        message["Date"] = format_datetime(datetime.now(UTC))
        _, sender = parseaddr(self._settings.sender)
        message["From"] = Address(display_name=" ".join(tenant.display_name.split()), addr_spec=sender)
        message["To"] = Address(addr_spec=to)
        if tenant.branding.support_email:
            message["Reply-To"] = Address(addr_spec=tenant.branding.support_email)
        message["Subject"] = " ".join(subject.split())[:200]
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._templates.get_template(f"{template}.txt").render(page))
        message.add_alternative(self._templates.get_template(f"{template}.html").render(page), subtype="html")
        return message


def _refused(codes: list[int], error: Exception) -> Exception:
    if codes and all(500 <= code < 600 for code in codes):
        return PermanentError(f"the mail server refuses this message for good (code {codes[0]})")
    return error
