"""JSON operations on requests, comments and photos."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from hoa_app.api import ApiContext, Operation, PageQuery, Params, operation
from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.wire import Listing, fields, listing
from hoa_app.features.requests import service
from hoa_app.features.requests.darkroom import developed
from hoa_app.features.requests.delivery import photo_response
from hoa_app.features.requests.model import Comment, Event, Filters, NewRequest, PhotoInfo, Reply, Request, Visibility
from hoa_app.features.requests.photos import MAX_PHOTOS, PhotoRefusedError
from hoa_app.features.requests.uploads import check_fits, removed, stored
from hoa_app.features.requests.workflow import Category, State
from hoa_app.web import services

PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp")


class RequestBody(msgspec.Struct, frozen=True, rename="camel"):
    """A request as a program files it; ``submissionKey``, if given, makes sending the same twice file one."""

    category: Category
    title: str
    description: str
    unit_id: UUID | None = None
    person_id: UUID | None = None
    submission_key: UUID | None = None


class CommentBody(msgspec.Struct, frozen=True, rename="camel"):
    """Something to say; Internal is for staff only."""

    body: str
    visibility: Visibility = "Public"
    submission_key: UUID | None = None


class MoveBody(msgspec.Struct, frozen=True, rename="camel"):
    """The state to move to; ``version`` is the one that was read."""

    state: State
    version: int


class AssignBody(msgspec.Struct, frozen=True, rename="camel"):
    """Who looks after the request; null for nobody. ``version`` is the one that was read."""

    assignee_id: UUID | None
    version: int


class RequestQuery(PageQuery, frozen=True):
    """Requests in ``state``, of ``category``, of ``community``, whose text, number or people hold ``q``."""

    state: State | None = None
    category: Category | None = None
    community: UUID | None = None
    q: str = ""


class PhotoQuery(msgspec.Struct, frozen=True):
    """The name that the photo is offered under."""

    filename: str = "photo"


class PhotoAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """A photo; ``href`` is where its bytes are."""

    id: UUID
    filename: str
    media_type: str
    bytes: int
    created_at: datetime
    href: str


class StoryAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """A request with its events and photos, and the states that the asking user may move it to."""

    request: Request
    events: list[Event]
    photos: list[PhotoAnswer]
    moves: list[State]


@operation(
    "GET",
    "/requests",
    "List requests, the newest first",
    response=Listing[Request],
    permission="requests:read",
    query=RequestQuery,
)
async def list_requests(ctx: ApiContext, _: Any, params: Params) -> Listing[Request]:
    """A page of requests; homeowners see their own."""
    query: RequestQuery = params.query
    states = frozenset(State) if query.state is None else frozenset({query.state})
    filters = Filters(states, query.category.value if query.category else "", query.community, search=query.q)
    async with ctx.db.transaction(readonly=True) as tx:
        return listing(await service.listed(tx, ctx.actor, filters, query.after, query.size))


@operation(
    "POST",
    "/requests",
    "File a request",
    request=RequestBody,
    response=Request,
    permission="requests:create",
    status=201,
)
async def create_request(ctx: ApiContext, body: RequestBody, _: Params) -> Request:
    """A new request, without photos."""
    form = NewRequest.read(fields(body))
    try:
        async with ctx.db.transaction() as tx:
            return await service.file(tx, ctx.actor, service.new_id(), form, [])
    except service.AlreadyFiledError as first:
        async with ctx.db.transaction(readonly=True) as tx:
            return await service.get(tx, ctx.actor, first.request_id)


@operation("GET", "/requests/{id:uuid}", "Read a request", response=StoryAnswer, permission="requests:read")
async def get_request(ctx: ApiContext, _: Any, params: Params) -> StoryAnswer:
    """One request with its events and photos."""
    async with ctx.db.transaction(readonly=True) as tx:
        story = await service.story(tx, ctx.actor, params["id"])
    return StoryAnswer(
        story.request, story.events, [_photo(story.request.id, one) for one in story.photos], list(story.moves)
    )


@operation(
    "GET", "/requests/{id:uuid}/comments", "List what was said", response=Listing[Comment], permission="requests:read"
)
async def list_comments(ctx: ApiContext, _: Any, params: Params) -> Listing[Comment]:
    """Comments, oldest first; internal ones for staff only."""
    async with ctx.db.transaction(readonly=True) as tx:
        return Listing((await service.story(tx, ctx.actor, params["id"])).comments)


@operation(
    "POST",
    "/requests/{id:uuid}/comments",
    "Say something",
    request=CommentBody,
    response=Request,
    permission="requests:read",
    status=201,
)
async def create_comment(ctx: ApiContext, body: CommentBody, params: Params) -> Request:
    """A comment."""
    async with ctx.db.transaction() as tx:
        return await service.reply(tx, ctx.actor, params["id"], Reply.read(fields(body)))


@operation(
    "POST",
    "/requests/{id:uuid}/state",
    "Move a request to another state",
    request=MoveBody,
    response=Request,
    permission="requests:read",
)
async def move_request(ctx: ApiContext, body: MoveBody, params: Params) -> Request:
    """A move; 409 if it is not possible from where the request is, or if someone else changed it."""
    async with ctx.db.transaction() as tx:
        return await service.reply(tx, ctx.actor, params["id"], Reply("", "Public", body.state, body.version, None))


@operation(
    "POST",
    "/requests/{id:uuid}/assignee",
    "Give a request to someone",
    request=AssignBody,
    response=Request,
    permission="requests:write",
)
async def assign_request(ctx: ApiContext, body: AssignBody, params: Params) -> Request:
    """Who looks after the request."""
    async with ctx.db.transaction() as tx:
        return await service.assign(tx, ctx.actor, params["id"], body.assignee_id, body.version)


@operation(
    "POST",
    "/requests/{id:uuid}/photos",
    "Add a photo; the body is the image",
    response=PhotoAnswer,
    permission="requests:create",
    query=PhotoQuery,
    status=201,
    consumes=PHOTO_TYPES,
)
async def create_photo(ctx: ApiContext, _: Any, params: Params) -> PhotoAnswer:
    """One photo."""
    try:
        kind = ctx.request.headers.get("content-type", "")
        photo = await developed(ctx.tenant.id, params.query.filename, kind, await ctx.request.body())
    except PhotoRefusedError as error:
        raise Rejected({"photos": str(error)}) from None
    async with ctx.db.transaction(readonly=True) as tx:
        await service.get(tx, ctx.actor, params["id"])
        await check_fits(ctx.request, tx, [photo])
    storage = services(ctx.request).storage
    async with stored(storage, ctx.tenant, params["id"], [photo]) as kept, ctx.db.transaction() as tx:
        await service.add_photos(tx, ctx.actor, params["id"], kept, MAX_PHOTOS)
    return _photo(params["id"], kept[0])


@operation(
    "GET",
    "/requests/{id:uuid}/photos/{photo:uuid}",
    "Read a photo's bytes",
    permission="requests:read",
    produces=PHOTO_TYPES,
)
async def get_photo(ctx: ApiContext, _: Any, params: Params) -> Any:
    """The image itself."""
    async with ctx.db.transaction(readonly=True) as tx:
        found = await service.photo(tx, ctx.actor, params["id"], params["photo"])
    return await photo_response(ctx.request, found)


@operation("DELETE", "/requests/{id:uuid}/photos/{photo:uuid}", "Remove a photo", permission="requests:write")
async def delete_photo(ctx: ApiContext, _: Any, params: Params) -> None:
    """The photo is gone for good; its room is free again."""
    await removed(ctx.request, params["id"], params["photo"])


def _photo(request_id: UUID, photo: PhotoInfo) -> PhotoAnswer:
    href = f"/api/v1/requests/{request_id}/photos/{photo.id}"
    return PhotoAnswer(photo.id, photo.filename, photo.media_type, photo.bytes, photo.created_at, href)


OPERATIONS: tuple[Operation, ...] = (
    list_requests,
    create_request,
    get_request,
    list_comments,
    create_comment,
    move_request,
    assign_request,
    create_photo,
    get_photo,
    delete_photo,
)
