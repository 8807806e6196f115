"""The messages that arrived: parsed once, bounded in number and in bytes, newest first."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
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
    """Messages in memory, the oldest forgotten first. Used by the SMTP thread and the page's threads alike.

    With a folder, each message is also a file there, so that a restart forgets nothing.
    """

    def __init__(
        self, folder: Path | None = None, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._folder = folder
        self._limits = (max_messages, max_bytes)
        self._messages = deque(_read(folder))
        self._last = self._messages[0].id if self._messages else 0
        self._lock = threading.Lock()

    def add(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> Message:
        """Keep a message."""
        with self._lock:
            self._last += 1
            message = parse(self._last, sender, recipients, raw)
            self._messages.appendleft(message)
            if self._folder:
                part = self._folder / "new.part"
                part.write_text(json.dumps(message.as_json()))
                part.rename(_file(self._folder, message))
            while self._too_much():
                self._forget(self._messages.pop())
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
            while self._messages:
                self._forget(self._messages.pop())

    def _too_much(self) -> bool:
        """Whether the oldest must go; the newest stays whatever its size."""
        count, size = len(self._messages), sum(message.size for message in self._messages)
        return count > 1 and (count > self._limits[0] or size > self._limits[1])

    def _forget(self, message: Message) -> None:
        if self._folder:
            _file(self._folder, message).unlink(missing_ok=True)


def _file(folder: Path, message: Message) -> Path:
    return folder / f"{message.id:010d}.json"


def _read(folder: Path | None) -> Iterator[Message]:
    """What an earlier run kept, newest first."""
    for file in sorted(folder.glob("*.json"), reverse=True) if folder else ():
        data = json.loads(file.read_text())
        lists = {key: tuple(data[key]) for key in ("recipients", "attachments")}
        yield Message(**{**data, **lists})
