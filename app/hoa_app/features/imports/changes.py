"""What an import changes of what is known already: per line, each cell's old value and the new one."""

from typing import Any
from uuid import UUID

from hoa_app.db.session import Tx
from hoa_app.features.imports.model import CellChange, LineChange

# What is empty in the file changes nothing; each pair is a column, the file's value and the known one.
_CELLS = (
    ("name", "r.name", "p.name"),
    ("email", "nullif(r.email, '')", "p.email"),
    ("phone", "nullif(r.phone, '')", "p.phone"),
    ("mailing_address", "nullif(r.mailing_address, '')", "p.mailing_address"),
    ("unit_address", "nullif(r.unit_address, '')", "u.address"),
    ("owner_since", "r.owner_since::text", "o.valid_from::text"),
    ("primary_contact", "CASE WHEN r.is_primary THEN 'yes' WHEN NOT r.is_primary THEN 'no' END", None),
)
_KNOWN_PRIMARY = "CASE WHEN o.is_primary THEN 'yes' WHEN NOT o.is_primary THEN 'no' END"
_PAIRS = ", ".join(
    f"({place}, '{column}', {new}, {old or _KNOWN_PRIMARY})" for place, (column, new, old) in enumerate(_CELLS)
)
_CHANGES = f"""
SELECT r.line, r.name, r.community, r.unit, jsonb_agg(jsonb_build_array(c.name, c.old, c.new) ORDER BY c.place) AS cells
  FROM import_rows r
  LEFT JOIN people p ON p.id = r.person_id LEFT JOIN units u ON u.id = r.unit_id
  LEFT JOIN ownerships o ON o.id = r.ownership_id
 CROSS JOIN LATERAL (VALUES {_PAIRS}) AS c (place, name, new, old)
 WHERE r.import_id = %s AND c.old IS NOT NULL AND c.new <> c.old
 GROUP BY r.line, r.name, r.community, r.unit ORDER BY r.line LIMIT %s
"""  # noqa: S608 - constants


async def changes(tx: Tx, import_id: UUID, limit: int) -> list[LineChange]:
    """The first lines that change something known."""
    cursor = await tx.execute(_CHANGES, (import_id, limit))
    return [_line(row) for row in await cursor.fetchall()]


def _line(row: dict[str, Any]) -> LineChange:
    cells = [CellChange(column, before, after) for column, before, after in row["cells"]]
    return LineChange(row["line"], row["name"], f"{row['community']} {row['unit']}", cells)
