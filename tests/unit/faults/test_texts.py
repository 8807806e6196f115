"""Whatever the operator can say of what is not well names an object and what to do, or passes by itself."""

from __future__ import annotations

import pytest

from tests.faults.words import PASSING, PASSING_UNDER, lacks_words
from tests.unit.faults.texts import Text, texts

TEXTS = tuple(texts())
#: What only a run can tell: the tests of these modules hold their texts to the same oracle.
COMPOSED = frozenset(
    {
        ("conditions", "Differs"),
        ("errors", "Fenced"),  # ends the process, reaches no status
        ("errors", "Outdated"),  # the same
        ("errors", "RegistryOfAnotherCluster"),  # tests/unit/operator/test_foreign.py
        ("waiting", "ChildrenRemaining"),
    }
)
#: Reach no status: a mistake of the program itself, what is looked at again at once, and who cannot speak to the API server.
NOT_SHOWN = frozenset({"NoTemplateKept", "Conflict", "NotSignedIn"})
#: Reasons of Stalled when it is False, which is well.
WELL = frozenset({"Progressing", "Retrying"})


def module(text: Text) -> str:
    return text.where.partition(":")[0]


def test_the_texts_are_found() -> None:
    reasons = {text.reason for text in TEXTS if text.whole}
    assert len(reasons) > 70
    assert reasons >= {
        "ObjectsDependOnRole",
        "LeadUncertain",
        "MigrationTimedOut",
        "OutOfMemory",
        "SlugTaken",
        "AppMissing",
    }


def test_only_known_ones_are_put_together_elsewhere() -> None:
    assert {(module(text), text.reason) for text in TEXTS if not text.whole} == COMPOSED


@pytest.mark.parametrize("text", [text for text in TEXTS if text.whole], ids=lambda text: f"{text.where} {text.reason}")
def test_each_one_helps(text: Text) -> None:
    if text.reason not in PASSING | NOT_SHOWN | WELL:
        assert lacks_words(text.message) == ""


def test_no_reason_passes_that_nobody_gives() -> None:
    said = {text.reason for text in TEXTS}
    assert PASSING | {reason for _, reason in PASSING_UNDER} <= said
    assert PASSING.isdisjoint(reason for _, reason in PASSING_UNDER)
