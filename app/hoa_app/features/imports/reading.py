"""An upload's way to a parsed file: its size held to the limit, the reading done beside the event loop."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

from hoa_app.features.imports.csvfile import MAX_BYTES, FileRefusedError, ParsedFile, parse
from hoa_app.features.kit.turns import Turns

_turns = Turns("import")


async def read_stream(tenant_id: UUID, chunks: AsyncIterator[bytes], default_community: str, today: date) -> ParsedFile:
    """Parse a request's body; raises FileRefusedError as soon as it is too long."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > MAX_BYTES:
            break
    return await read_bytes(tenant_id, bytes(data), default_community, today)


async def read_bytes(tenant_id: UUID, data: bytes, default_community: str, today: date) -> ParsedFile:
    """Parse a file's bytes; raises FileRefusedError."""
    if len(data) > MAX_BYTES:
        raise too_large()
    return await _turns.run(tenant_id, parse, data, default_community, today)


def too_large() -> FileRefusedError:
    """The refusal of a file that is longer than what is read."""
    return FileRefusedError(f"The file is larger than {MAX_BYTES // 1024 // 1024} MB.", "Split it into smaller files.")
