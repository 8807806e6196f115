"""The messages that arrived: parsed once, bounded in number and in bytes, newest first."""

import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

MAX_MESSAGES = 500
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Message:
    """One message as people and tests read it. `id` counts up; `size` is in bytes as it came over the wire."""

    id: int
    received: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    attachments: tuple[str, ...]
    size: int

    def as_json(self) -> dict[str, Any]:
        """The message for the JSON interface."""
        return asdict(self)


def parse(number: int, sender: str, recipients: tuple[str, ...], raw: bytes) -> Message:
    """Read a message; whatever is not well formed is shown as far as it can be read."""
    mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(raw)
    return Message(
        id=number,
        received=datetime.now(UTC).isoformat(timespec="milliseconds"),
        sender=sender,
        recipients=recipients,
        subject=str(mail.get("Subject", "")),
        text=_body(mail, "plain"),
        html=_body(mail, "html"),
        headers={name: str(value) for name, value in mail.items()},
        attachments=tuple(part.get_filename() or part.get_content_type() for part in mail.iter_attachments()),
        size=len(raw),
    )


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return ""
    try:
        return raw.decode(part.get_content_charset("utf-8"), errors="replace")
    except LookupError:
        return raw.decode("utf-8", errors="replace")


class Store:
    """Messages in memory, the oldest forgotten first. Used by the SMTP thread and the page's threads alike."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._messages: deque[Message] = deque()
        self._limits = (max_messages, max_bytes)
        self._bytes = 0
        self._last = 0
        self._lock = threading.Lock()

    def add(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> Message:
        """Keep a message."""
        with self._lock:
            self._last += 1
            message = parse(self._last, sender, recipients, raw)
            self._messages.appendleft(message)
            self._bytes += message.size
            while len(self._messages) > self._limits[0] or (self._bytes > self._limits[1] and len(self._messages) > 1):
                self._bytes -= self._messages.pop().size
            return message

    def all(self) -> list[Message]:
        """Every message, newest first."""
        with self._lock:
            return list(self._messages)

    def get(self, number: int) -> Message | None:
        """One message, if it is still there."""
        return next((message for message in self.all() if message.id == number), None)

    def clear(self) -> None:
        """Forget all messages."""
        with self._lock:
            self._messages.clear()
            self._bytes = 0
