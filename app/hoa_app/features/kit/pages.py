"""What every page shares: reading what was submitted, and words for instants in the company's time zone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse

from hoa_app.db.session import TenantDatabase
from hoa_app.features.kit import moments
from hoa_app.features.kit.answers import Rejected
from hoa_app.identity.actor import Actor
from hoa_app.problems import Problem, unauthorized
from hoa_app.web import render

_MANY = 100
_FIELDS = {"max_fields": 100, "max_part_size": 256 * 1024}


@dataclass(frozen=True)
class Upload:
    """One file of a form, kept beside memory until it is read."""

    filename: str
    media_type: str
    file: UploadFile

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.file.size or 0

    async def read(self) -> bytes:
        """All of it."""
        return await self.file.read()


@dataclass(frozen=True)
class Sent:
    """A submitted form: its text fields, and the files that were chosen in it, by field.

    ``cut`` says that it was larger than the page takes: the text is whole, the files are not.
    """

    text: Mapping[str, str]
    uploads: Mapping[str, Sequence[Upload]] = field(default_factory=dict)
    cut: bool = False

    def files(self, name: str) -> Sequence[Upload]:
        """Uploads of one field. A file field left alone sends one file without a name, which is none."""
        return self.uploads.get(name, ())


async def submitted(request: Request) -> Sent:
    """The text that the browser sent."""
    async with request.form(max_files=0, **_FIELDS) as form:
        return Sent(_text(form))


@asynccontextmanager
async def with_files(request: Request, at_most: int) -> AsyncIterator[Sent]:
    """What the browser sent, files included. More than ``at_most`` bytes of files are read to their end but not kept, so that the
    person gets an answer with everything they typed instead of a broken connection.
    """
    parser = _Bounded(request, at_most)
    try:
        form = await (parser.parse() if parser.applies else request.form(max_files=0, **_FIELDS))
    except MultiPartException as error:
        raise Problem(400, "The form did not arrive whole", f"Go back and send it again. ({error.message})") from None
    try:
        uploads: dict[str, list[Upload]] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and value.filename:
                uploads.setdefault(name, []).append(Upload(value.filename, value.content_type or "", value))
        yield Sent(_text(form), uploads, parser.cut)
    finally:
        await form.close()


class _Bounded(MultiPartParser):
    """Keeps so many bytes of files and drops what comes after them."""

    def __init__(self, request: Request, at_most: int) -> None:
        super().__init__(request.headers, request.stream(), max_files=_MANY, **_FIELDS)
        self.applies = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        self.cut = False
        self._room = at_most

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is not None:
            self._room -= end - start
        if self._room >= 0:
            super().on_part_data(data, start, end)
        else:
            self.cut = True


def _text(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def actor_of(request: Request) -> Actor:
    """Who is signed in; endpoints behind ``requires`` always have someone."""
    actor: Actor | None = request.state.actor
    if actor is None:
        raise unauthorized()
    return actor


def database(request: Request) -> TenantDatabase:
    """The tenant's database."""
    found: TenantDatabase = request.state.db
    return found


def path_id(request: Request, name: str = "id") -> UUID:
    """The id in the path; the route's ``:uuid`` has made sure that it is one."""
    found: UUID = request.path_params[name]
    return found


def query_id(request: Request, name: str) -> UUID | None:
    """An id in the query; anything that is not one reads as absent, as with any filter."""
    try:
        return UUID(request.query_params.get(name, ""))
    except ValueError:
        return None


def page(
    request: Request,
    template: str,
    zone: str,
    context: Mapping[str, Any],
    rejected: Rejected | None = None,
    status: int = 200,
) -> HTMLResponse:
    """Render a page; with ``rejected``, as the answer to a form that cannot be taken, its errors beside the fields."""
    now = datetime.now(UTC)

    def when(instant: datetime) -> str:
        return moments.moment(instant, zone)

    def day(value: date | None) -> str:
        return moments.day(value)

    words = {
        "when": when,
        "day": day,
        "ago": lambda instant: moments.age(instant, now),
        "today": moments.today(zone, now),
        "zone": zone,
        "fresh_key": uuid4,
        "errors": rejected.fields if rejected else {},
    }
    return render(request, template, {**words, **context}, status=rejected.status if rejected else status)
