"""Frames and statements of Postgres' wire protocol, whole and in pieces."""

from __future__ import annotations

from tests.faults.pgwire import Frames, Session, sqlstate


def frame(kind: bytes, content: bytes) -> bytes:
    return kind + (len(content) + 4).to_bytes(4, "big") + content


def test_frames_are_cut_wherever_the_bytes_break() -> None:
    wanted = [(b"Q", frame(b"Q", b"SELECT 1\0")), (b"S", frame(b"S", b"")), (b"X", frame(b"X", b""))]
    stream = b"".join(whole for _, whole in wanted)
    for size in range(1, len(stream) + 1):
        frames = Frames()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [found for piece in pieces for found in frames.feed(piece)] == wanted


def test_a_session_knows_who_asks() -> None:
    session = Session.begun(3, b"user\0maria\0database\0books\0application_name\0desk\0\0")
    assert (session.number, session.user, session.database, session.application) == (3, "maria", "books", "desk")
    assert Session.begun(1, b"user\0maria\0\0").database == "maria"


def test_a_prepared_statement_keeps_its_text() -> None:
    session = Session(1)
    parse, bind = frame(b"P", b"s1\0SELECT $1\0\0\0"), frame(b"B", b"\0s1\0\0\0\0\0\0\0")
    sync, execute = frame(b"S", b""), frame(b"E", b"\0\0\0\0\0")
    assert session.statement([parse, sync]) == ("SELECT $1", False)
    assert session.statement([bind, execute, sync]) == ("SELECT $1", True)
    assert session.statement([frame(b"Q", b"COMMIT\0")]) == ("COMMIT", True)


def test_the_code_of_an_error_is_read() -> None:
    assert sqlstate(frame(b"E", b"SERROR\0C42P01\0Mgone\0\0")) == "42P01"
