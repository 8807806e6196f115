"""`python -m hack.migrations [--write]`: say what is wrong with the migrations of the app and of the registry, and end with 1;
or write the SQL of the app's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.migrations import rendering
from hack.migrations.changes import Change, Schema
from hack.migrations.recording import Finding, Revision, read
from hack.migrations.rules import check, dropped
from hack.migrations.words import statements

#: Tables that say whose database it is: they hold no tenant's rows (docs/contract.md, section 5).
NO_TENANTS = frozenset({"tenant_identity", "tenant_roles"})


@dataclass(frozen=True)
class Line:
    """One line of migrations. Up to `first_release` there was nobody at work; `oldest` is the oldest schema served."""

    folder: Path
    first_release: str
    oldest: str
    tenants: bool


def lint(line: Line) -> list[Finding]:
    """Return everything that is wrong."""
    revisions, findings = read(line.folder)
    schema = Schema()
    if line.oldest not in {revision.number for revision in revisions}:
        what = f"OLDEST_SERVED is {line.oldest}, which is no revision; it is the head of the release before this one"
        findings.append(Finding(line.folder, 1, what))
    for revision in revisions:
        findings += _check(revision, line, schema)
    return sorted(findings, key=lambda finding: (str(finding.path), finding.line))


def _check(revision: Revision, line: Line, schema: Schema) -> Iterator[Finding]:
    change = Change(dict(revision.contracts), schema, lenient=revision.number <= line.first_release)
    for statement in revision.statements:
        at = statement.line
        for single in statements(statement.sql):
            for what in check(single, change, alone=statement.alone, batches=statement.batches):
                yield Finding(revision.path, at, what)
    for what in dropped(change):
        yield Finding(revision.path, revision.statements[0].line, what)
    yield from _mixed(revision)
    yield from _contracts(revision, line, change)
    if line.tenants:
        yield from _isolated(revision, change)
    if revision.number > line.oldest:
        schema.recent |= change.made
        schema.recent_columns |= change.columns
    schema.unique_indexes |= change.unique_indexes
    schema.not_null_checks |= {pair for pair in change.not_null_checks if not change.lenient}


def _mixed(revision: Revision) -> Iterator[Finding]:
    alone = [statement for statement in revision.statements if statement.alone]
    if alone and len(alone) != len(revision.statements):
        what = "what runs outside of a transaction stays done when the rest breaks off: give it a revision of its own"
        yield Finding(revision.path, alone[0].line, what)


def _contracts(revision: Revision, line: Line, change: Change) -> Iterator[Finding]:
    for thing, since in change.contracts.items():
        if thing not in change.used:
            yield Finding(revision.path, 1, f"contracts names {thing}, which nothing here takes away: remove it")
        elif not since.isdigit() or len(since) != 4 or since > line.oldest or since >= revision.number:
            what = (
                f"{thing} is needed by apps before {since}, and this app lets all from {line.oldest} on serve its schema "
                "(OLDEST_SERVED in hoa_app/migrations/serving.py): contract one release later"
            )
            yield Finding(revision.path, 1, what)


def _isolated(revision: Revision, change: Change) -> Iterator[Finding]:
    created = {table for table in change.made if _creates(revision, table)}
    whole = change.tenant_columns & change.enabled & change.forced & change.policies
    for table in sorted(created - whole - NO_TENANTS):
        what = f"table {table} lacks tenant_id or forced row-level security: call tenant_table(op, {table!r}) after CREATE TABLE"
        yield Finding(revision.path, _creates(revision, table), what)


def _creates(revision: Revision, table: str) -> int:
    """Return the line that creates a table, 0 if none does."""
    for statement in revision.statements:
        for single in statements(statement.sql):
            texts = [word.text for word in single if word.text not in ("if", "not", "exists", "public", ".")]
            if texts[:3] == ["create", "table", table]:
                return statement.line
    return 0


def lines(repository: Path) -> list[Line]:
    """Return the lines of migrations that there are."""
    from hoa_app.migrations.serving import OLDEST_SERVED

    registry = repository / "operator" / "hoa_operator" / "registry_migrations" / "versions"
    app = repository / "app" / "hoa_app" / "migrations" / "versions"
    # The app's reader and an operator of the version before go on with a registry that was upgraded.
    head = max(path.name[:4] for path in registry.glob("[0-9]*.py"))
    before = f"{max(1, int(head) - 1):04d}"
    return [Line(app, "0002", OLDEST_SERVED, tenants=True), Line(registry, "0001", before, tenants=False)]


def main(repository: Path, arguments: Sequence[str]) -> int:
    """Print what is wrong."""
    every = lines(repository)
    folders = [line.folder for line in every if line.tenants]
    if "--write" in arguments:
        for folder in folders:
            rendering.write(folder)
    findings = [finding for line in every for finding in lint(line)]
    findings += [finding for folder in folders for finding in rendering.stale(folder)]
    for finding in findings:
        print(str(finding).removeprefix(f"{repository}/"))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[2], sys.argv[1:]))
