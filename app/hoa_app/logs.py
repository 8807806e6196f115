"""Structured logs: one JSON object a line on standard output, the standard library's loggers included."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Log = structlog.typing.FilteringBoundLogger


def configure_logging(level: str, component: str, version: str) -> None:
    """Set the process up once, before anything is logged; `level` is debug, info, warning or error."""

    def identify(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["component"] = component
        event["version"] = version
        return event

    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        identify,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_bytes)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if level == "info" else level.upper())
    # The pools tell a failed connection at every attempt; Pools says it once with the tenant beside it.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def get_logger() -> Log:
    """A logger; it is lazy, so configuration may come after."""
    log: Log = structlog.get_logger()
    return log


_ENCODER = msgspec.json.Encoder(enc_hook=str)


def _bytes(event: EventDict, **_: Any) -> bytes:
    return _ENCODER.encode(event)


def _text(event: EventDict, **_: Any) -> str:
    return _ENCODER.encode(event).decode()
