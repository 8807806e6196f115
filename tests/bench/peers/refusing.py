"""A server that says 429 to whatever it is asked: what a rush costs the machine at the least, load and all."""

from __future__ import annotations

import os
from typing import Any, Final

import uvicorn

_ANSWER: Final = b"Too many requests.\n"
_HEADERS: Final = [(b"content-length", str(len(_ANSWER)).encode()), (b"retry-after", b"1")]


async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
    """Refuse a request, without a look at it."""
    await send({"type": "http.response.start", "status": 429, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


if __name__ == "__main__":
    uvicorn.run(
        refuse, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", access_log=False, log_level="warning"
    )
