"""What the credentials Secret holds after a rotation, and which of its signing keys are kept for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hoa_app.identity import api_tokens, sessions
from hoa_operator import desire, steps
from hoa_operator.manifests.secrets import Credentials, credentials_patch, read_credentials
from hoa_operator.plan import plan
from hoa_operator.rotation import Fresh, rotated, tidied
from hoa_operator.signing import LIFETIME, MOST, SigningKey, decode_signing_keys, encode_signing_keys, still_needed
from tests.unit.operator.rotating import DAY, NEW
from tests.unit.operator.samples import (
    CREDENTIALS,
    NOW,
    live,
    secrets_of,
    served,
    with_objects,
)


class TestSecret:
    """What one write changes."""

    def test_a_rotation_changes_all_and_keeps_the_old_key(self) -> None:
        assert (NEW.login, NEW.app_password, NEW.migrator_password) == ("app_b", "new-app", "new-migrator")
        assert [key.kid for key in NEW.keys] == ["two", *(key.kid for key in CREDENTIALS.keys)]
        back = rotated(NEW, Fresh("a", "m", SigningKey("three", bytes(32), NOW)))
        assert back.login == "app"

    @pytest.mark.parametrize("credentials", [CREDENTIALS, NEW])
    def test_it_reads_back(self, credentials: Credentials) -> None:
        data = {key: value for key, value in credentials_patch(credentials).items() if value is not None}
        assert read_credentials(data) == credentials

    def test_back_on_the_first_login_the_key_is_removed(self) -> None:
        assert credentials_patch(CREDENTIALS)["app-login"] is None

    @pytest.mark.parametrize("broken", [{"app-login": "b3duZXI="}, {"signing-keys": "W10="}, {"signing-keys": "e30="}])
    def test_what_makes_no_sense_counts_as_deleted(self, broken: dict[str, str]) -> None:
        data = {key: value for key, value in credentials_patch(NEW).items() if value is not None}
        assert read_credentials({**data, **broken}) is None


class TestKeys:
    """Old keys stay while anything signed with them may be good, and no longer."""

    def keys(self, *days_ago: float) -> tuple[SigningKey, ...]:
        return tuple(SigningKey(f"k{days}", bytes(32), NOW - DAY * days) for days in days_ago)

    def test_a_key_outlives_its_replacement_by_the_longest_token(self) -> None:
        days = LIFETIME.days
        assert still_needed(self.keys(0, 1000), NOW) == self.keys(0, 1000)
        assert still_needed(self.keys(days - 1, 1000), NOW) == self.keys(days - 1, 1000)
        assert still_needed(self.keys(days + 1, 1000), NOW) == self.keys(days + 1)
        assert still_needed(self.keys(5000), NOW) == self.keys(5000)

    def test_the_app_makes_no_token_that_lives_longer(self) -> None:
        longest = max(timedelta(days=api_tokens.MAX_DAYS), sessions.ABSOLUTE, sessions.API_SESSION)
        assert longest < LIFETIME

    def test_there_are_never_too_many_for_a_secret(self) -> None:
        many = tuple(SigningKey("0" * 16, bytes(32), NOW - DAY / 100 * n) for n in range(MOST + 10))
        kept = still_needed(many, NOW)
        assert len(kept) == MOST
        assert len(encode_signing_keys(kept)) < 2**17

    def test_they_are_dropped_without_a_rotation(self) -> None:
        keys = encode_signing_keys(self.keys(LIFETIME.days + 1, LIFETIME.days + 2)).decode()
        old = replace(CREDENTIALS, signing_keys=keys)
        fewer = tidied(old, NOW)
        assert fewer is not None
        assert len(fewer.keys) == 1
        assert tidied(fewer, NOW) is None
        base = served()
        secret = live(desire.credentials_secret(base, old))
        base = with_objects(base, secret, record=replace(base.record, secrets=secrets_of(old)))
        assert plan(base).steps == (steps.WriteCredentials(fewer, "20"),)

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", '[{"kid":"a","k":"AA","createdAt":"2026-01-01T00:00:00"}]', "[1]"]
    )
    def test_what_is_no_list_of_keys_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"sign|JSON|Expecting"):
            decode_signing_keys(text)

    def test_they_read_back(self) -> None:
        assert decode_signing_keys(encode_signing_keys(self.keys(0, 1)).decode()) == self.keys(0, 1)
