"""`python3 -m mailcatcher`: SMTP on 1025, the page on 8025, until asked to stop."""

import argparse
import signal
import threading
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from . import web
from .store import Store

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Catcher:
    """What aiosmtpd calls for each message."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Keep the message."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        message = self._store.add(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw)
        print(f"message {message.id}: {len(raw)} bytes", flush=True)
        return f"250 message {message.id} kept"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="mailcatcher")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--page-port", type=int, default=8025)
    parser.add_argument("--folder", type=Path, help="keep messages here over restarts")
    args = parser.parse_args()
    store, stop = Store(args.folder), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    smtp = Controller(Catcher(store), hostname=args.host, port=args.smtp_port, data_size_limit=_MAX_MESSAGE_BYTES)
    smtp.start()
    page = web.server(store, args.host, args.page_port)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    print(f"SMTP on {args.smtp_port}, page on {args.page_port}", flush=True)
    stop.wait()
    page.shutdown()
    smtp.stop()


if __name__ == "__main__":
    main()
