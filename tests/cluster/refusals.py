"""What a person reads when the API server refuses an object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.kubectl import KubectlError

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl

UNCHECKED = "<nil>: Invalid value: null: some validation rules were not checked"


def accepted(kubectl: Kubectl, body: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the API server would store it."""
    text = kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body))
    stored: dict[str, Any] = json.loads(text)
    return stored


def refused(kubectl: Kubectl, body: dict[str, Any]) -> list[str]:
    """Return the reasons, one for each thing that is wrong."""
    with pytest.raises(KubectlError) as refusal:
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    return reasons(str(refusal.value))


def refused_change(kubectl: Kubectl, kind: str, name: str, change: dict[str, Any]) -> list[str]:
    """Return the reasons why a change is refused."""
    with pytest.raises(KubectlError) as refusal:
        kubectl.patch(kind, name, change)
    return reasons(str(refusal.value))


def reasons(text: str) -> list[str]:
    """Split kubectl's words into single reasons, without the note that further rules were not looked at."""
    _, separator, tail = text.partition(" is invalid: ")
    if not separator:
        return [text]
    lines = [line.strip().removeprefix("* ") for line in tail.strip().splitlines()]
    return [line for line in lines if not line.startswith(UNCHECKED)]
