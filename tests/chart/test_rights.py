"""The operator's Role grants what its door to Kubernetes says it needs, no more and no less."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hoa_operator import kube
from tests.cluster.helm import one

if TYPE_CHECKING:
    from tests.chart.conftest import Rendered

Right = tuple[str, str, str]
VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}


def needed(text: str) -> set[Right]:
    """Read the table in the module's docstring: group, resources, verbs."""
    found: set[Right] = set()
    for line in text.splitlines():
        words = line.replace(",", " ").split()
        if not line.startswith("    ") or len(words) < 3 or words[-1] not in VERBS:
            continue
        group = words[0].strip('"')
        rest = list(itertools.takewhile(lambda word: word not in VERBS, words[1:]))
        verbs = words[1 + len(rest) :]
        found |= {(group, resource, verb) for resource in rest for verb in verbs}
    return found


def granted(objects: Rendered) -> set[Right]:
    rules = one(objects, "Role", "hoa-connect-operator")["rules"]
    return {right for rule in rules for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])}


def test_the_role_is_what_the_operator_needs(default_objects: Rendered) -> None:
    wanted = needed(kube.__doc__ or "")
    assert len(wanted) > 40
    assert granted(default_objects) == wanted
