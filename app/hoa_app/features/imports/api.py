"""JSON operations on imports; the file itself is the body, as text/csv."""

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request

from hoa_app.api import ApiContext, Operation, Params, operation
from hoa_app.features.communities import service as communities
from hoa_app.features.imports import service
from hoa_app.features.imports.csvfile import MAX_BYTES, FileRefusedError
from hoa_app.features.imports.model import ErrorRow, Import, LineChange, PreviewRow
from hoa_app.features.imports.reading import no_room, read_stream
from hoa_app.features.kit.moments import today
from hoa_app.features.kit.profile import time_zone
from hoa_app.problems import Problem


class UploadQuery(msgspec.Struct, frozen=True):
    """``community`` stands in for lines that name none; ``filename`` is shown in the list of imports."""

    community: UUID | None = None
    filename: str = "upload.csv"


class PreviewAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """An import with its first lines, its first errors, and the first lines that change something known."""

    run: Import = msgspec.field(name="import")
    rows: list[PreviewRow]
    errors: list[ErrorRow]
    changes: list[LineChange]


@operation(
    "POST",
    "/imports",
    "Upload a CSV of homeowners for preview",
    response=PreviewAnswer,
    permission="imports:run",
    query=UploadQuery,
    status=201,
    consumes=("text/csv",),
)
async def create_import(ctx: ApiContext, _: Any, params: Params) -> PreviewAnswer:
    """Read the body and keep it; nothing is imported until it is confirmed."""
    query: UploadQuery = params.query
    async with ctx.db.transaction(readonly=True) as tx:
        day = today(await time_zone(tx))
        community = (await communities.get(tx, query.community)).name if query.community else ""
        full = await no_room(ctx.request, tx, _announced(ctx.request))
    if full is not None:
        raise full
    try:
        parsed = await read_stream(ctx.tenant.id, ctx.request.stream(), community, day)
    except FileRefusedError as refused:
        where = [{"line": refused.line, "detail": refused.remedy}] if refused.line else [{"detail": refused.remedy}]
        raise Problem(422, "The file cannot be read", refused.problem, where) from None
    async with ctx.db.transaction() as tx:
        made = await service.preview(tx, ctx.actor, query.filename, parsed)
        return await _answer(ctx, tx, made)


@operation("GET", "/imports/{id:uuid}", "Read an import", response=PreviewAnswer, permission="imports:run")
async def get_import(ctx: ApiContext, _: Any, params: Params) -> PreviewAnswer:
    """One import of the asking user."""
    async with ctx.db.transaction(readonly=True) as tx:
        return await _answer(ctx, tx, params["id"])


@operation(
    "POST",
    "/imports/{id:uuid}/confirm",
    "Import a previewed file, all of it or nothing",
    response=Import,
    permission="imports:run",
)
async def confirm_import(ctx: ApiContext, _: Any, params: Params) -> Import:
    """Confirming twice is confirming once."""
    async with ctx.db.transaction() as tx:
        return await service.confirm(tx, ctx.actor, params["id"])


def _announced(request: Request) -> int:
    """Bytes of the body as its sender announces them; the most that is read where nothing is announced."""
    given = request.headers.get("content-length", "")
    return int(given) if given.isdecimal() else MAX_BYTES


async def _answer(ctx: ApiContext, tx: Any, import_id: UUID) -> PreviewAnswer:
    shown = await service.shown(tx, ctx.actor, import_id)
    return PreviewAnswer(shown.run, shown.rows, shown.errors, shown.changes)


OPERATIONS: tuple[Operation, ...] = (create_import, get_import, confirm_import)
