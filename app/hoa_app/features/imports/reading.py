"""An upload's way to a parsed file: its size held to the limit, the reading done beside the event loop."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

from starlette.requests import Request

from hoa_app.db.session import Tx
from hoa_app.features.imports.csvfile import MAX_BYTES, FileRefusedError, ParsedFile, parse
from hoa_app.features.kit.room import StorageFull, check_room, space
from hoa_app.features.kit.turns import Turns
from hoa_app.features.requests import service as requests
from hoa_app.web import services

_MAKE_ROOM = (
    "Nothing was read. Remove photos of old requests that nobody needs any more, or ask your provider for a larger plan;"
    " then upload the file again."
)
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


async def no_room(request: Request, tx: Tx, size: int) -> StorageFull | None:
    """The refusal of a file of so many bytes that the tenant's storage has no room for."""
    found = await space(services(request), request.state.tenant, tx, await requests.stored_bytes(tx))
    try:
        check_room(found, size, "file", _MAKE_ROOM)
    except StorageFull as full:
        return full
    return None


def too_large() -> FileRefusedError:
    """The refusal of a file that is longer than what is read."""
    return FileRefusedError(f"The file is larger than {MAX_BYTES // 1024 // 1024} MB.", "Split it into smaller files.")
