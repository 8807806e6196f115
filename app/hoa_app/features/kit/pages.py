"""What every page shares: reading what was submitted, and words for instants in the company's time zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse

from hoa_app.db.session import TenantDatabase
from hoa_app.features.kit import moments
from hoa_app.features.kit.answers import Rejected
from hoa_app.identity.actor import Actor
from hoa_app.problems import unauthorized
from hoa_app.web import render

MAX_FILES = 10


@dataclass(frozen=True)
class Upload:
    """One file of a form."""

    filename: str
    data: bytes


@dataclass(frozen=True)
class Sent:
    """A submitted form: its text fields, and the files that were chosen in it, by field."""

    text: Mapping[str, str]
    uploads: Mapping[str, Sequence[Upload]]

    def files(self, name: str) -> Sequence[Upload]:
        """Uploads of one field. A file field left alone sends one file without a name, which is none."""
        return self.uploads.get(name, ())


async def submitted(request: Request) -> Sent:
    """What the browser sent; the gate in front has held it to the size that one request may have."""
    async with request.form(max_files=MAX_FILES, max_fields=100, max_part_size=256 * 1024) as form:
        uploads: dict[str, list[Upload]] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and value.filename:
                uploads.setdefault(name, []).append(Upload(value.filename, await value.read()))
        return Sent({name: value for name, value in form.items() if isinstance(value, str)}, uploads)


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
