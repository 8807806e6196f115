"""What must not happen even once: a test that says so is not tried again (hack/testing/levels.py).

Most failures of a loaded machine are deadlines that were missed. These are none: data dropped without proof, something left
that nobody owns or made twice, the wrong data come back, one company's words shown to another.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class Never(AssertionError):
    """It happened. Passing at a second try would say only that it does not happen every time."""


def never(found: Collection[Any], what: str) -> None:
    """Raise `Never` if anything was found; `what` says what that is."""
    if found:
        raise Never("\n".join([f"{what}:", *map(str, found)]))


def happened(error: BaseException | None) -> bool:
    """Whether an error is `Never`, or was raised because of one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, Never) or (isinstance(error, BaseExceptionGroup) and any(map(happened, error.exceptions))):
            return True
        error = error.__cause__ or error.__context__
    return False
