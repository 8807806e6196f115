"""Files: one object store, and keys that always begin with the tenant they belong to."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from obstore import delete_async, get_async, list_with_delimiter_async, put_async, sign_async
from obstore import list as list_objects
from obstore.exceptions import NotSupportedError
from obstore.store import LocalStore, from_url

from hoa_app.problems import not_found
from hoa_app.tenancy.tenant import Tenant

PAGE = 1000
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class StoredFile:
    """One object: its key within the tenant, and when it was written."""

    key: str
    written_at: datetime


class Storage:
    """The only door to files. Keys given here are relative to the tenant and can never leave its prefix."""

    def __init__(self, url: str) -> None:
        self._store: Any = _open(url)
        self.local = isinstance(self._store, LocalStore)

    async def put(self, tenant: Tenant, key: str, data: bytes) -> None:
        """Write (or overwrite) one object."""
        await put_async(self._store, tenant_key(tenant, key), data)

    async def get(self, tenant: Tenant, key: str) -> bytes:
        """Read one object; raises the 404 problem when it is not there."""
        try:
            result = await get_async(self._store, tenant_key(tenant, key))
        except FileNotFoundError:
            raise not_found("file") from None
        return bytes(await result.bytes_async())

    async def stream(self, tenant: Tenant, key: str, chunk: int = 256 * 1024) -> AsyncIterator[bytes]:
        """Open one object to read it piece by piece; raises the 404 problem when it is not there."""
        try:
            result = await get_async(self._store, tenant_key(tenant, key))
        except FileNotFoundError:
            raise not_found("file") from None
        pieces = result.stream(min_chunk_size=chunk)

        async def read() -> AsyncIterator[bytes]:
            async for piece in pieces:
                yield bytes(piece)

        return read()

    async def listed(self, tenant: Tenant, folder: str, after: str = "") -> AsyncIterator[list[StoredFile]]:
        """Everything below a folder, page by page; ``after`` goes on behind that key.

        Buckets list in the order of the keys. A volume lists in any order, and is read to its end in one go.
        """
        prefix = tenant_key(tenant, folder)
        own = prefix.removesuffix(folder)
        offset = tenant_key(tenant, after) if after else None
        async for page in list_objects(self._store, prefix=prefix, offset=offset, chunk_size=PAGE):
            yield [StoredFile(one["path"].removeprefix(own), one["last_modified"]) for one in page]

    async def delete(self, tenant: Tenant, key: str) -> None:
        """Remove one object; one that is not there is no error."""
        await self._delete([tenant_key(tenant, key)])

    async def remove_all(self, tenant_id: UUID, most: int) -> int:
        """Remove what there is of a tenant that is gone, ``most`` objects of it at once; fewer removed says that nothing is
        left, on a volume no folder either.
        """
        prefix, removed = f"tenants/{tenant_id}", 0
        async for page in list_objects(self._store, prefix=prefix, chunk_size=PAGE):
            paths = [one["path"] for one in page[: most - removed]]
            await self._delete(paths)
            removed += len(paths)
            if removed == most:
                return removed
        if self.local:
            # Folders, and what a crash left half written, are in no list. Another worker may be at it.
            with suppress(FileNotFoundError):
                await asyncio.to_thread(shutil.rmtree, Path(self._store.prefix, prefix))
        return removed

    async def _delete(self, paths: list[str]) -> None:
        with suppress(FileNotFoundError):
            await delete_async(self._store, paths)

    async def sign(self, tenant: Tenant, key: str, expires: timedelta = timedelta(minutes=5)) -> str | None:
        """A short-lived URL straight to the object store, or None where the store has none (a volume): stream instead."""
        if self.local:
            return None
        try:
            return str(await sign_async(self._store, "GET", tenant_key(tenant, key), expires))
        except NotSupportedError:
            return None

    async def check(self) -> None:
        """Raise unless the store answers."""
        await list_with_delimiter_async(self._store, prefix="health")


def tenant_key(tenant: Tenant, key: str) -> str:
    """`tenants/<tenant id>/<key>`; refuses keys that are not plain relative paths."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a plain object key")
    return f"tenants/{tenant.id_text}/{key}"


def _open(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme == "file":
        Path(parts.path).mkdir(parents=True, exist_ok=True)
        return LocalStore(prefix=parts.path, automatic_cleanup=False, mkdir=True)
    return from_url(url)
