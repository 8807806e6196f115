"""A load's requests are written down for wrk as they are meant, whatever is in them."""

from __future__ import annotations

import re

from tests.bench.figures.load import Load, written
from tests.bench.openloop import Ask


def spelled(lua: str) -> list[str]:
    """Read Lua's strings of decimal escapes."""
    return [bytes(int(code) for code in text.split("\\")[1:]).decode() for text in re.findall(r'"([^"]*)"', lua)]


def test_a_request_is_written_whole() -> None:
    ask = Ask(
        'http://127.0.0.1:1/a"b?c=d', {"Host": "x.localhost", "Cookie": 'a="b"\n'}, "POST", b'{"name":"\xc3\xa9"}'
    )
    assert spelled(written(ask)) == [
        "POST", '/a"b?c=d', "Host", "x.localhost", "Cookie", 'a="b"\n', '{"name":"é"}',
    ]  # fmt: skip


def test_a_bare_address_asks_for_the_root() -> None:
    assert spelled(written(Ask("http://127.0.0.1:1", {}))) == ["GET", "/"]
    assert written(Ask("http://127.0.0.1:1", {})).endswith("{},nil}")


def test_only_good_answers_make_the_rate() -> None:
    assert Load(requests=100, errors=20, mean=1, p50=1, p95=1, p99=1, seconds=4).rate == 20
