"""Work beside the requests: noticed when it ends, ended when the process does."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from hoa_app.background import Background


async def test_work_that_ends_is_named() -> None:
    background, fall = Background(), asyncio.Event()

    async def steady() -> None:
        await asyncio.Event().wait()

    async def fails() -> None:
        await fall.wait()
        raise RuntimeError("nobody foresaw this")

    with capture_logs() as logs:
        async with background.running({"registry": fails(), "pools": steady()}):
            await asyncio.sleep(0)
            assert background.ended == []
            fall.set()
            for _ in range(3):
                await asyncio.sleep(0)
            assert background.ended == ["registry"]
    assert [(line["log_level"], line["task"]) for line in logs] == [("critical", "registry")]
    assert background.ended == []
