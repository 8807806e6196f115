"""SCRAM verifiers against RFC 7677's own example and the format Postgres keeps."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.scram import generate_password, verifier

# RFC 7677, section 3: user "user", password "pencil".
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
FORMAT = re.compile(r"SCRAM-SHA-256\$(?:1|4096):[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=")


def test_the_rfcs_example() -> None:
    made = verifier("pencil", salt=SALT)
    stored, server = made.split("$")[2].split(":")
    assert made.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert stored == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert server == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80))
def test_every_printable_password_has_a_verifier_that_hides_it(password: str) -> None:
    made = verifier(password)
    assert FORMAT.fullmatch(made)
    assert len(password) < 8 or password not in made


@pytest.mark.parametrize("password", ["", "pässword", "new\nline", "nul\0"])
def test_what_saslprep_could_change_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        verifier(password)


def test_the_same_password_gets_another_salt() -> None:
    assert verifier("pencil") != verifier("pencil")


def test_generated_passwords_are_long_and_differ() -> None:
    made = {generate_password() for _ in range(100)}
    assert all(verifier(password).startswith("SCRAM-SHA-256$1:") for password in made)
    assert len(made) == 100
    assert all(len(password) == 43 and password.isascii() for password in made)


@pytest.mark.parametrize(
    ("password", "iterations"),
    [("x" * 43, 1), ("a-password-that-somebody-chose", 4096), ("x" * 42, 4096), ("! " * 30, 4096)],
)
def test_only_what_nobody_chose_has_one_iteration(password: str, iterations: int) -> None:
    assert verifier(password).startswith(f"SCRAM-SHA-256${iterations}:")
