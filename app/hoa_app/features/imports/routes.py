"""Pages of the import: upload, preview, confirm, and the files that help with it."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.imports import service
from hoa_app.features.imports.columns import TEMPLATE
from hoa_app.features.imports.csvfile import MAX_BYTES, MAX_ROWS, FileRefusedError
from hoa_app.features.imports.reading import no_room, read_bytes, too_large
from hoa_app.features.kit.moments import today
from hoa_app.features.kit.pages import Sent, actor_of, database, page, path_id, query_id, with_files
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.kit.spreadsheets import csv_blocks
from hoa_app.identity.actor import requires
from hoa_app.problems import Problem
from hoa_app.web import redirect

REPORT_HEADER = ("line", "column", "value", "problem", "what to do")


@requires("imports:run")
async def index(request: Request) -> Response:
    """Where to upload a file, and what was imported lately."""
    return await _index(request)


async def _index(
    request: Request, refused: FileRefusedError | None = None, chosen: str = "", status: int = 422
) -> Response:
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        names = await communities.names(tx)
        recent = await service.recent(tx)
    context = {
        "communities": names,
        "recent": recent,
        "columns": TEMPLATE,
        "refused": refused,
        "values": {"community": chosen or query_id(request, "community") or ""},
        "limits": {"megabytes": MAX_BYTES // 1024 // 1024, "rows": MAX_ROWS},
    }
    return page(request, "imports/index.html", zone, context, status=status if refused else 200)


@requires("imports:run")
async def upload(request: Request) -> Response:
    """Read a file and keep it for the preview; nothing of it is imported yet."""
    async with with_files(request, MAX_BYTES + 64 * 1024) as sent:
        chosen, files = sent.text.get("community", ""), sent.files("file")
        async with database(request).transaction(readonly=True) as tx:
            zone = await time_zone(tx)
            names = {str(key): name for key, name in await communities.names(tx)}
            full = await no_room(request, tx, sum(file.size for file in files))
        if full is not None:
            return await _index(request, FileRefusedError(full.title, full.detail), chosen, full.status)
        try:
            data, community = await _chosen_file(sent), names.get(chosen, "")
            parsed = await read_bytes(request.state.tenant.id, data, community, today(zone))
        except FileRefusedError as refused:
            return await _index(request, refused, chosen)
    async with database(request).transaction() as tx:
        made = await service.preview(tx, actor_of(request), files[0].filename, parsed)
    return redirect(request, f"/imports/{made}")


async def _chosen_file(sent: Sent) -> bytes:
    if sent.cut:
        raise too_large()
    if not sent.files("file"):
        raise FileRefusedError("No file was chosen.", "Choose the CSV file that holds your homeowners.")
    return await sent.files("file")[0].read()


@requires("imports:run")
async def show(request: Request) -> Response:
    """The preview, or what the import did."""
    return await _shown(request)


async def _shown(request: Request, problem: Problem | None = None) -> Response:
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        preview = await service.shown(tx, actor_of(request), path_id(request))
    return page(
        request,
        "imports/show.html",
        zone,
        {"preview": preview, "run": preview.run, "problem": problem},
        status=problem.status if problem else 200,
    )


@requires("imports:run")
async def confirm(request: Request) -> Response:
    """Import the file."""
    try:
        async with database(request).transaction() as tx:
            await service.confirm(tx, actor_of(request), path_id(request))
    except Problem as problem:
        if problem.status != 409:
            raise
        return await _shown(request, problem)
    return redirect(request, f"/imports/{path_id(request)}")


@requires("imports:run")
async def discard(request: Request) -> Response:
    """Forget the preview."""
    async with database(request).transaction() as tx:
        await service.discard(tx, actor_of(request), path_id(request))
    return redirect(request, "/imports", "The file was discarded. Nothing was imported.", "info")


@requires("imports:run")
async def report(request: Request) -> Response:
    """Everything that is wrong with a file, as a CSV."""
    async with database(request).transaction(readonly=True) as tx:
        await service.get(tx, actor_of(request), path_id(request))
        rows = [row async for row in service.report(tx, path_id(request))]
    return _csv("import-errors.csv", REPORT_HEADER, rows)


@requires("imports:run")
async def template(request: Request) -> Response:  # noqa: ARG001 - the same file for everyone
    """An empty file with the right header and one example."""
    return _csv(
        "homeowners-template.csv", [column.key for column in TEMPLATE], [[column.example for column in TEMPLATE]]
    )


def _csv(name: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    lines = csv_blocks(list(header), [list(row) for row in rows])
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


ROUTES: tuple[BaseRoute, ...] = (
    Route("/imports", index, methods=["GET"]),
    Route("/imports", upload, methods=["POST"]),
    Route("/imports/template.csv", template, methods=["GET"]),
    Route("/imports/{id:uuid}", show, methods=["GET"]),
    Route("/imports/{id:uuid}/confirm", confirm, methods=["POST"]),
    Route("/imports/{id:uuid}/discard", discard, methods=["POST"]),
    Route("/imports/{id:uuid}/errors.csv", report, methods=["GET"]),
)
