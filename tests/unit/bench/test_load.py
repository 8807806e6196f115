"""A request goes over the wire as HTTP/1.1 has it, with what the person it is of shows."""

from __future__ import annotations

from tests.bench.figures.load import Load, on_the_wire
from tests.bench.openloop import Ask


def test_a_read() -> None:
    ask = Ask("http://127.0.0.1:80/people?q=a", {"Host": "one.localhost", "Cookie": "a=b"})
    assert on_the_wire(ask) == b"GET /people?q=a HTTP/1.1\r\nHost: one.localhost\r\nCookie: a=b\r\n\r\n"


def test_a_write_says_how_long_it_is() -> None:
    ask = Ask("http://127.0.0.1:80", {}, "POST", "zo\u00eb".encode())
    assert on_the_wire(ask) == b"POST / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 4\r\n\r\nzo\xc3\xab"


def test_only_good_answers_make_the_rate() -> None:
    assert Load(requests=100, errors=20, mean=1, p50=1, p95=1, p99=1, seconds=4).rate == 20
