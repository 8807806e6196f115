"""Workers over the databases of a platform, and a real SMTP server that they mail to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP
from psycopg.types.json import Jsonb

from hoa_app.feature import Feature
from hoa_app.jobs.breaker import Breaker
from hoa_app.jobs.outcome import Policy
from hoa_app.settings import Settings
from hoa_app.worker import open_worker
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session

    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresAccess

PATIENT = 30.0


class Mailbox:
    """An SMTP server on loopback that can be stopped and started on the same port, and refuses `refused`."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.received: list[EmailMessage] = []
        self.refused: dict[str, str] = {}
        self._server: asyncio.Server | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.received.append(email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default))
        return "250 OK"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def to(self, address: str) -> list[EmailMessage]:
        return [message for message in self.received if message["To"].addresses[0].addr_spec == address]


@pytest.fixture(scope="module")
def place(postgres: PostgresAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: workers here do the mail of every tenant in it."""
    made = Platform(postgres, tmp_path_factory.mktemp("worker"))
    yield made
    made.destroy()


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    yield box
    await box.stop()


def slug() -> str:
    return f"w{uuid4().hex[:8]}"


def settings(place: Platform, mailbox: Mailbox, **more: str) -> Settings:
    return Settings.from_env(place.environment(HOA_SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}", **more))


@asynccontextmanager
async def working(configured: Settings, *features: Feature, breaker: Breaker | None = None) -> AsyncIterator[Any]:
    async with open_worker(configured, features, policy=Policy(base_seconds=0.05), breaker=breaker) as opened:
        task = asyncio.create_task(opened.worker.run())
        try:
            yield opened
        finally:
            opened.worker.stop()
            await task


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENT):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the condition lies in a database
            await asyncio.sleep(0.02)


def outbox(tenant: MadeTenant, kind: str = "mail.invitation") -> dict[str, Any]:
    with tenant.as_admin() as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        row = cursor.execute("SELECT * FROM outbox WHERE kind = %s ORDER BY created_at LIMIT 1", (kind,)).fetchone()
    assert row is not None
    return row


def queue(tenant: MadeTenant, kind: str, payload: dict[str, Any] | None = None) -> None:
    with tenant.as_app() as connection:
        connection.execute("INSERT INTO outbox (kind, payload) VALUES (%s, %s)", (kind, Jsonb(payload or {})))


def state_is(tenant: MadeTenant, state: str, kind: str = "mail.invitation") -> Callable[[], bool]:
    return lambda: bool(outbox(tenant, kind)["state"] == state)


def notify(place: Platform, tenant: MadeTenant) -> None:
    with psycopg.connect(place.access.dsn(place.registry), autocommit=True) as connection:
        connection.execute("SELECT pg_notify('hoa_outbox', %s)", (str(tenant.id),))
