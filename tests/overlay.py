"""Later versions of the app for tests: a copy of `app/` with one more migration, so that there is a new version to go to.

The checkout's own app is then the previous version: N-1 code, and a database at its head is a schema N-1. Whoever runs
`python -m hoa_app...` with a release's folder on PYTHONPATH runs that version.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hack.migrations import rendering
from hoa_app.migrations import serving
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

Kind = Literal["expand", "fails", "hangs"]
#: The head of the app in this checkout, and of a release made here.
HEAD: Final = serving.head()
NEXT: Final = f"{int(HEAD) + 1:04d}"
#: `expand` fails for good where `settings` holds this key, and for the time being while somebody holds a lock on `users`.
POISON: Final = "overlay-poison"
#: `hangs` waits, at any length, in databases where somebody holds this advisory lock.
HANG_LOCK: Final = 0x48414E47

_EXPAND: Final = f"""
    op.execute("ALTER TABLE users ADD COLUMN overlay_note text")
    op.execute("CREATE TABLE overlay_notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note text NOT NULL)")
    tenant_table(op, "overlay_notes")
    op.execute("ALTER TABLE settings ADD CONSTRAINT settings_overlay CHECK (key <> '{POISON}') NOT VALID")
    op.execute("ALTER TABLE settings VALIDATE CONSTRAINT settings_overlay")
"""
_UPGRADES: Final[dict[Kind, str]] = {
    "expand": _EXPAND,
    "fails": f"{_EXPAND}    op.execute('ALTER TABLE no_such_table ADD COLUMN note text')\n",
    "hangs": f"""{_EXPAND}
    op.execute("SET LOCAL lock_timeout = 0")
    op.execute("SELECT pg_advisory_xact_lock({HANG_LOCK})")
""",
}
_REVISION: Final = '''"""A migration that only tests have."""

from __future__ import annotations

from alembic import op

from hoa_app.migrations.rls import tenant_table

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    """Expand."""
{upgrade}
'''


@dataclass(frozen=True)
class Release:
    """One version of the app: `app` goes on PYTHONPATH, `revision` is its head."""

    name: str
    app: Path
    revision: str

    @property
    def image(self) -> str:
        """The image's name, by which the runner of Jobs finds the folder."""
        return f"hoa-connect/app:{self.name}"

    @property
    def version(self) -> str:
        """The version that the chart would carry."""
        return f"9.{int(self.revision)}.0-{self.name}"

    def job(self) -> dict[str, str]:
        """Return what a migration Job run by hand needs in its environment."""
        return {"PYTHONPATH": str(self.app), "HOA_TARGET_REVISION": self.revision}

    def settings(self) -> dict[str, str]:
        """Return what an operator is told that shall take tenants to this version: `platform.operator(**...)`."""
        return {
            "HOA_APP_IMAGE": self.image,
            "HOA_APP_VERSION": self.version,
            "HOA_APP_SCHEMA_REVISION": self.revision,
        }


def make_release(folder: Path, kind: Kind, name: str | None = None, upgrade: str | None = None) -> Release:
    """Copy the app into `folder` and add one migration to it; `upgrade` replaces the kind's own statements.

    Two releases of one kind need names of their own: the name becomes the image's tag.
    """
    made = Release(name or kind, folder / (name or kind), NEXT)
    copy = _copy(made)
    text = _REVISION.format(revision=NEXT, before=HEAD, upgrade=upgrade or _UPGRADES[kind])
    versions = copy / "migrations" / "versions"
    (versions / f"{NEXT}_overlay.py").write_text(text)
    rendering.write(versions)
    return made


def make_earlier(folder: Path) -> Release:
    """Copy the app into `folder` without the migrations that came after the oldest schema that this app serves."""
    made = Release("earlier", folder / "earlier", serving.OLDEST_SERVED)
    _copy(made)
    for path in (made.app / "hoa_app" / "migrations" / "versions").glob("[0-9]*.py"):
        if path.name[:4] > serving.OLDEST_SERVED:
            path.unlink()
    return made


def _copy(release: Release) -> Path:
    copy = release.app / "hoa_app"
    shutil.copytree(REPOSITORY / "app" / "hoa_app", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def poison(connection: psycopg.Connection[object], tenant_id: str) -> None:
    """Put into a tenant's database what `expand` stumbles over for good; the connection is a superuser's."""
    connection.execute(
        "INSERT INTO settings (tenant_id, key, value) VALUES (%s, %s, 'true'::jsonb)", [tenant_id, POISON]
    )


def heal(connection: psycopg.Connection[object]) -> None:
    """Take the poison out again."""
    connection.execute("DELETE FROM settings WHERE key = %s", [POISON])
