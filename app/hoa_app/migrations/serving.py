"""Which schemas this app serves, and which apps may serve the schema it makes: expand and contract in one constant.

A release with head H and OLDEST_SERVED L serves every database from L on, and tells every database it migrates that apps
from head L on may serve it. So the version before and this one run side by side on either schema (docs/adr/0006).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

VERSIONS: Final = Path(__file__).parent / "versions"
#: The head of the release before this one, once there is one. The linter (hack/migrations) holds every revision after it
#: to what apps of that release can live with.
OLDEST_SERVED: Final = "0002"

_NOTE: Final = "served by apps from revision {} on"


def known_revisions() -> list[str]:
    """The revisions in this image, oldest first, read from the file names so that alembic need not be imported."""
    return sorted(match[1] for path in VERSIONS.iterdir() if (match := re.match(r"(\d{4})_\w+\.py$", path.name)))


def sql_of(revision: str) -> str | None:
    """The SQL of a revision, in which its number is noted, too; None where only alembic can run it."""
    found = next(VERSIONS.glob(f"{revision}_*.sql"), None)
    return found.read_text(encoding="utf-8") if found is not None else None


@cache
def head() -> str:
    """The newest revision this app knows."""
    return known_revisions()[-1]


def note() -> str:
    """What the migration Job leaves as the comment on `alembic_version`."""
    return _NOTE.format(OLDEST_SERVED)


def is_too_old(revision: str | None) -> bool:
    """Whether a database at `revision` lacks what this app needs; None, before its first migration, is not for us to say."""
    return revision is not None and revision < OLDEST_SERVED


def is_too_new(comment: str | None) -> bool:
    """Whether the comment on `alembic_version` says that something this app needs was taken away."""
    found = re.fullmatch(_NOTE.format(r"(\d{4})"), comment or "")
    return found is not None and found[1] > head()
