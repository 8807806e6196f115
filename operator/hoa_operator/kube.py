"""The only door to the Kubernetes API: plain objects in and out, and errors that say who must act.

Everything is in one namespace. What the operator's Role must allow (no pods/exec):

    hoaconnect.com              hoatenants                               get list watch patch
    hoaconnect.com              hoatenants/status                        patch
    hoaconnect.com              hoatiers                                 get list watch
    hoaconnect.com              hoadatabaseservers                       get list watch
    hoaconnect.com              hoadatabaseservers/status                patch
    ""                          secrets, services                        get list watch create patch delete
    ""                          pods                                     get list watch
    ""                          events                                   create
    ""                          namespaces                               get
    batch                       jobs                                     get list watch create patch delete
    networking.k8s.io           ingresses                                get list watch create patch delete
    apps                        deployments                              get list watch create patch delete
    policy                      poddisruptionbudgets                     get list watch create patch delete
    autoscaling                 horizontalpodautoscalers                 get list watch create patch delete
    coordination.k8s.io         leases                                   get create patch
    hoaconnect.com              hoatenants/finalizers, hoadatabaseservers/finalizers   update
    apps                        deployments/finalizers                   update

Of namespaces a Role allows its own: the operator asks whether it is being deleted. A ClusterRole allows `get` of one more by
its name, `HOA_CLUSTER_NAMESPACE`: its uid tells this cluster from others. The last two rows are for clusters that
enforce OwnerReferencesPermissionEnforcement. Server-side apply needs `create` and `patch`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import kopf
import structlog

from hoa_operator import names
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import NAMESPACE, SECRET, Kind, kind_of, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

log = structlog.get_logger()

JsonObject = dict[str, Any]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
_LOGIN_SECONDS: Final = 60.0
_SIGNED_OUT: Final = 401
#: Objects in one answer: all of thousands at once would stay in the process's memory for good.
_PAGE: Final = 200
_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_MANAGER: Final = (("fieldManager", names.FIELD_MANAGER),)
_AGAIN: Final = "it is tried again; should it last, check that the API server is well and the operator reaches it"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Conflict(WorldError):
    """The object changed since it was read, or exists already: read again and decide again, at once."""

    def __init__(self, message: str) -> None:
        super().__init__("Conflict", message, retry_after=0.0)


class Meter(Protocol):
    """Counts requests."""

    def request(self, verb: str, kind: str) -> None:
        """Count one request that is about to be sent."""


class Kube:
    """Requests to one namespace. `gate` raises `Fenced` when this process may no longer write."""

    def __init__(self, client: Client, namespace: str, gate: Callable[[], None], meter: Meter) -> None:
        self._client = client
        self.namespace = namespace
        self._gate = gate
        self._meter = meter

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, kind: Kind, name: str) -> JsonObject | None:
        """Return the live object, or None."""
        try:
            return await self._send(_Request("get", "GET", kind, name))
        except _NotFound:
            return None

    async def is_leaving(self) -> bool:
        """Tell whether the namespace itself is being deleted, with everything in it."""
        found = await self._send(_Request("get", "GET", NAMESPACE, self.namespace))
        return "deletionTimestamp" in found["metadata"]

    async def pages(
        self, kind: Kind, selector: str = "", *, metadata_only: bool = False
    ) -> AsyncIterator[tuple[list[JsonObject], int]]:
        """Yield the objects that match, a few hundred at a time, each time with the version of the whole list; with
        `metadata_only` without spec and status."""
        query = (("limit", str(_PAGE)), *((("labelSelector", selector),) if selector else ()))
        accept, following = _METADATA_ONLY if metadata_only else _JSON, ""
        while True:
            asked = (*query, ("continue", following)) if following else query
            found = await self._send(_Request("list", "GET", kind, query=asked, accept=accept))
            items = [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in found.get("items") or ()]
            yield items, int(found["metadata"]["resourceVersion"])
            following = found["metadata"].get("continue") or ""
            if not following:
                return

    async def list_all(self, kind: Kind, selector: str = "", *, metadata_only: bool = False) -> list[JsonObject]:
        """Return the objects that match."""
        pages = self.pages(kind, selector, metadata_only=metadata_only)
        return [item async for items, _ in pages for item in items]

    async def apply(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Server-side apply as field manager `hoa-operator`; fields that others wrote over become ours again.

        With `metadata.uid` and `resourceVersion`, raise `Conflict` if the object changed since, and make no other.
        """
        kind, name, query = kind_of(manifest), name_of(manifest), (*_MANAGER, ("force", "true"))
        return await self._write(_Request("apply", "PATCH", kind, name, body=manifest, content=_APPLY, query=query))

    async def create(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Create; raise `Conflict` if the name is taken, so that what is there is never overwritten."""
        return await self._write(_Request("create", "POST", kind_of(manifest), body=manifest, query=_MANAGER))

    async def patch(self, kind: Kind, name: str, body: Mapping[str, Any], subresource: str = "") -> JsonObject:
        """Merge-patch; with `metadata.resourceVersion` in `body`, raise `Conflict` if the object changed since."""
        return await self._write(
            _Request("patch", "PATCH", kind, name, subresource, body=body, content=_MERGE, query=_MANAGER)
        )

    async def delete(self, kind: Kind, name: str, uid: str) -> bool:
        """Delete that very object, its dependents in the background; tell whether it was there."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._write(_Request("delete", "DELETE", kind, name, body=body))
        except (_NotFound, Conflict):
            return False
        return True

    async def _write(self, request: _Request) -> JsonObject:
        self._gate()
        return await self._send(request)

    async def _send(self, request: _Request) -> JsonObject:
        what = f"{request.verb} {request.kind.kind} {self.namespace}/{request.name or '*'}"
        self._meter.request(request.verb, request.kind.kind)
        path = request.kind.path(self.namespace, request.name, request.subresource)
        answer = await _answer(what, self._client.send(request, path))
        if 200 <= answer.status < 300:
            try:
                return dict(json.loads(answer.text))
            except ValueError as error:
                raise WorldError("ApiServerError", f"{what}: the answer is no JSON; {_AGAIN}") from error
        raise _refusal(what, request.kind, answer)


@dataclass(frozen=True)
class _Request:
    verb: str
    method: str
    kind: Kind
    name: str = ""
    subresource: str = ""
    body: Mapping[str, Any] | None = None
    content: str = _JSON
    accept: str = _JSON
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Answer:
    """What the API server said; `retry_after` in seconds, if it asked for patience."""

    status: int
    reason: str
    text: bytes
    retry_after: float | None

    def words(self) -> tuple[str, str]:
        """Return reason and message of a refusal."""
        try:
            said = json.loads(self.text)
            return said.get("reason") or self.reason, said.get("message") or self.reason
        except (ValueError, AttributeError):
            return self.reason, self.reason


class _NotFound(WorldError):
    """There is no such object."""


async def _answer(what: str, call: Awaitable[_Answer]) -> _Answer:
    try:
        return await call
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        silence = f"{what}: the API server did not answer within {_TIMEOUT.total:.0f} s; {_AGAIN}"
        raise WorldError("ApiServerSilent", silence) from error
    except (aiohttp.ClientError, OSError) as error:
        raise WorldError("ApiServerUnreachable", f"{what}: {type(error).__name__}: {error}; {_AGAIN}") from error


def _refusal(what: str, kind: Kind, said: _Answer) -> UserError | WorldError:
    reason, words = said.words()
    # What the server says about a Secret may quote what the Secret holds.
    message = f"{what}: {reason if kind is SECRET else words}"
    if said.status == 404:
        return _NotFound("NotFound", message)
    if said.status == 409:
        return Conflict(message)
    if said.status in (400, 422):
        return UserError("ApiServerRefused", f"{message}; correct the spec")
    if said.status == _SIGNED_OUT:
        return WorldError(
            "Unauthorized", f"{message}; check the operator's service account or kubeconfig; it signs in again"
        )
    if said.status == 403:
        return WorldError("Forbidden", f"{message}; check the operator's Role, quotas and admission policies")
    return WorldError("ApiServerError", f"{message} (HTTP {said.status}); {_AGAIN}", retry_after=said.retry_after)


class Client:
    """Connections to the API server, signed in as `login` says, which is asked again each minute: the kubelet renews a pod's token."""

    def __init__(self, login: Callable[[], kopf.ConnectionInfo]) -> None:
        self._login = login
        self._known = login()
        self._known_until = time.monotonic() + _LOGIN_SECONDS
        connector = aiohttp.TCPConnector(ssl=self._known.as_ssl_context())
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, headers={"User-Agent": names.FIELD_MANAGER}
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, request: _Request, path: str) -> _Answer:
        """Send one request; raises what aiohttp raises."""
        headers = {"Accept": request.accept, **self._signed_in().as_http_headers()}
        body = None
        if request.body is not None:
            body, headers["Content-Type"] = json.dumps(request.body).encode(), request.content
        url = f"{self._known.server.rstrip('/')}{path}"
        async with self._session.request(
            request.method, url, params=request.query, headers=headers, data=body, allow_redirects=False
        ) as response:
            text = await response.read()
        if response.status == _SIGNED_OUT:
            self._known_until = 0.0
        raw = response.headers.get("Retry-After", "")
        return _Answer(response.status, response.reason or "", text, float(raw) if raw.isdigit() else None)

    def _signed_in(self) -> kopf.ConnectionInfo:
        if time.monotonic() >= self._known_until:
            self._known_until = time.monotonic() + _LOGIN_SECONDS
            try:
                self._known = self._login()
            except UserError as error:
                # What is known is good for a while yet: a token is renewed long before its end.
                log.warning("not signed in anew", reason=error.reason, message=error.message)
        return self._known


def connect(environ: Mapping[str, str]) -> Client:
    """Return a client for the cluster this process runs in, or for the one that `KUBECONFIG` names. Needs a running loop."""
    return Client(lambda: login(environ))


def login(environ: Mapping[str, str]) -> kopf.ConnectionInfo:
    """Return how to sign in; raises UserError."""
    sign_in = kopf.login_with_service_account if in_cluster(environ) else kopf.login_with_kubeconfig
    try:
        found = sign_in(settings=kopf.OperatorSettings())
    except (kopf.LoginError, OSError, ValueError, LookupError, AttributeError) as error:
        raise _no_login(f"{type(error).__name__}: {error}") from error
    if found is None:
        raise _no_login("there is neither a service account's token nor a kubeconfig")
    if in_cluster(environ):
        # By its address: leading must not depend on the cluster's DNS.
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
        found = replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
    return found


def _no_login(why: str) -> UserError:
    return UserError(
        "NotSignedIn",
        f"no way to sign in at the Kubernetes API: {why}; run it in a pod with a service account, or set KUBECONFIG",
    )


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Tell whether this process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in environ and "KUBECONFIG" not in environ
