"""Matching the lines of an import with what is there, and applying them: a few set-based statements, whatever the size.

Matching runs at the preview and again at the confirmation, in the same transaction as the changes: what others did in
between is seen. An empty cell never erases what is known. A homeowner is matched by mail address, else by name within
the unit.
"""

from datetime import date
from uuid import UUID

from hoa_app.db.session import Tx
from hoa_app.features.imports.model import Counts

# Lines that have just arrived have no statistics, and a planner that takes them for a handful compares each with each.
_AS_SETS = "SELECT set_config('enable_nestloop', 'off', true)"

_MATCH = (
    # Outcomes of an earlier match are forgotten first: the second run must not see the first one's.
    """UPDATE import_rows r SET person_id = NULL, ownership_id = NULL, outcome = NULL,
         community_id = (SELECT c.id FROM communities c WHERE lower(c.name) = lower(r.community))
       WHERE r.import_id = %(import)s""",
    """UPDATE import_rows r SET unit_id = u.id FROM units u
       WHERE r.import_id = %(import)s AND u.community_id = r.community_id AND lower(u.label) = lower(r.unit)""",
    """UPDATE import_rows r SET person_id = p.id FROM people p
       WHERE r.import_id = %(import)s AND r.email <> '' AND p.email = r.email""",
    # The same name in the same unit, unless that person has another address than the file gives.
    """UPDATE import_rows r SET person_id = m.person_id FROM (
         SELECT DISTINCT ON (i.person_key) i.person_key, p.id AS person_id
           FROM import_rows i JOIN ownerships o ON o.unit_id = i.unit_id AND o.valid_to IS NULL
           JOIN people p ON p.id = o.person_id AND lower(p.name) = lower(i.name)
          WHERE i.import_id = %(import)s AND i.person_id IS NULL AND (i.email = '' OR p.email = '')
            AND NOT EXISTS (SELECT FROM import_rows t WHERE t.import_id = %(import)s AND t.person_id = p.id)
          ORDER BY i.person_key, p.id) m
       WHERE r.import_id = %(import)s AND r.person_key = m.person_key""",
    """UPDATE import_rows r SET ownership_id = o.id FROM ownerships o
       WHERE r.import_id = %(import)s AND o.unit_id = r.unit_id AND o.person_id = r.person_id AND o.valid_to IS NULL""",
    """UPDATE import_rows r SET outcome = CASE
         WHEN r.ownership_id IS NULL THEN 'New'
         WHEN EXISTS (SELECT FROM people p WHERE p.id = r.person_id AND (p.name <> r.name
                OR (r.email <> '' AND p.email <> r.email) OR (r.phone <> '' AND p.phone <> r.phone)
                OR (r.mailing_address <> '' AND p.mailing_address <> r.mailing_address)))
           OR EXISTS (SELECT FROM units u WHERE u.id = r.unit_id AND r.unit_address <> ''
                AND u.address <> r.unit_address)
           OR EXISTS (SELECT FROM ownerships o WHERE o.id = r.ownership_id
                AND ((r.owner_since IS NOT NULL AND o.valid_from <> r.owner_since)
                  OR (r.is_primary IS NOT NULL AND o.is_primary <> r.is_primary))) THEN 'Updated'
         ELSE 'Unchanged' END
       WHERE r.import_id = %(import)s""",
)

# Lines that the database would refuse, found before it has to: they join the report instead of failing the import.
_CONFLICTS = """
INSERT INTO import_errors (import_id, place, line, column_name, value, problem, remedy)
SELECT r.import_id, 1000000 + r.line, r.line, 'owner_since', coalesce(r.owner_since, %(today)s)::text,
       r.name || ' owned this unit before, until ' || max(o.valid_to) || '.',
       'Give a day on or after ' || max(o.valid_to) || ' when the new ownership began.'
  FROM import_rows r JOIN ownerships o ON o.person_id = r.person_id AND o.unit_id = r.unit_id AND o.valid_to IS NOT NULL
 WHERE r.import_id = %(import)s AND o.valid_to > coalesce(r.owner_since,
         (SELECT valid_from FROM ownerships k WHERE k.id = r.ownership_id), %(today)s)
 GROUP BY r.import_id, r.line, r.owner_since, r.name
ON CONFLICT DO NOTHING
"""

_COUNTS = """
SELECT count(*) FILTER (WHERE outcome = 'New') AS new, count(*) FILTER (WHERE outcome = 'Updated') AS updated,
       count(*) FILTER (WHERE outcome = 'Unchanged') AS unchanged,
       count(DISTINCT person_key) FILTER (WHERE person_id IS NULL) AS new_people,
       count(DISTINCT (lower(community), lower(unit))) FILTER (WHERE unit_id IS NULL) AS new_units,
       array(SELECT min(n.community) FROM import_rows n WHERE n.import_id = %(import)s AND n.community_id IS NULL
              GROUP BY lower(n.community) ORDER BY 1 LIMIT 200) AS new_communities
  FROM import_rows WHERE import_id = %(import)s
"""

_APPLY = (
    """INSERT INTO communities (name, time_zone) SELECT min(community), %(zone)s FROM import_rows
       WHERE import_id = %(import)s AND community_id IS NULL GROUP BY lower(community)""",
    """UPDATE import_rows r SET community_id = c.id FROM communities c
       WHERE r.import_id = %(import)s AND r.community_id IS NULL AND lower(c.name) = lower(r.community)""",
    """INSERT INTO units (community_id, label, address) SELECT community_id, min(unit), max(unit_address)
       FROM import_rows WHERE import_id = %(import)s AND unit_id IS NULL GROUP BY community_id, lower(unit)""",
    """UPDATE import_rows r SET unit_id = u.id FROM units u
       WHERE r.import_id = %(import)s AND r.unit_id IS NULL AND u.community_id = r.community_id
         AND lower(u.label) = lower(r.unit)""",
    """UPDATE units u SET address = r.address, version = version + 1, updated_at = now() FROM (
         SELECT unit_id, max(unit_address) AS address FROM import_rows
          WHERE import_id = %(import)s AND unit_address <> '' GROUP BY unit_id) r
       WHERE u.id = r.unit_id AND u.address <> r.address""",
    # Materialized: a plan that ran the subquery twice would draw two ids for a person of several lines.
    """WITH n AS MATERIALIZED (SELECT person_key, gen_random_uuid() AS id FROM import_rows
         WHERE import_id = %(import)s AND person_id IS NULL GROUP BY person_key)
       UPDATE import_rows r SET person_id = n.id FROM n
        WHERE r.import_id = %(import)s AND r.person_key = n.person_key""",
    """INSERT INTO people (id, name, email, phone, mailing_address)
       SELECT person_id, (array_agg(name ORDER BY line))[1], max(email), max(phone), max(mailing_address)
         FROM import_rows r
        WHERE import_id = %(import)s AND NOT EXISTS (SELECT FROM people p WHERE p.id = r.person_id)
        GROUP BY person_id""",
    """UPDATE people p SET name = n.name, email = n.email, phone = n.phone, mailing_address = n.mailing_address,
         version = version + 1, updated_at = now()
       FROM (SELECT p.id, (array_agg(r.name ORDER BY r.line))[1] AS name,
                    coalesce(nullif(max(r.email), ''), p.email) AS email,
                    coalesce(nullif(max(r.phone), ''), p.phone) AS phone,
                    coalesce(nullif(max(r.mailing_address), ''), p.mailing_address) AS mailing_address
               FROM import_rows r JOIN people p ON p.id = r.person_id WHERE r.import_id = %(import)s GROUP BY p.id) n
       WHERE p.id = n.id
         AND (p.name, p.email, p.phone, p.mailing_address)
             IS DISTINCT FROM (n.name, n.email, n.phone, n.mailing_address)""",
    """UPDATE ownerships o SET is_primary = false, updated_at = now() FROM import_rows r
       WHERE r.import_id = %(import)s AND r.is_primary AND o.unit_id = r.unit_id AND o.is_primary AND o.valid_to IS NULL
         AND o.person_id <> r.person_id""",
    """UPDATE ownerships o SET valid_from = coalesce(r.owner_since, o.valid_from),
         is_primary = coalesce(r.is_primary, o.is_primary), updated_at = now() FROM import_rows r
       WHERE r.import_id = %(import)s AND o.id = r.ownership_id
         AND (o.valid_from, o.is_primary)
             IS DISTINCT FROM (coalesce(r.owner_since, o.valid_from), coalesce(r.is_primary, o.is_primary))""",
    """INSERT INTO ownerships (person_id, unit_id, valid_from, is_primary)
       SELECT person_id, unit_id, coalesce(owner_since, %(today)s), coalesce(is_primary, false) FROM import_rows
        WHERE import_id = %(import)s AND ownership_id IS NULL""",
)


async def match(tx: Tx, import_id: UUID, today: date) -> tuple[Counts, int]:
    """Match every line; returns what importing them would do and how many lines the database would refuse."""
    values = {"import": import_id, "today": today}
    for statement in (_AS_SETS, *_MATCH):
        await tx.execute(statement, values)
    conflicts = (await tx.execute(_CONFLICTS, values)).rowcount
    row = await (await tx.execute(_COUNTS, values)).fetchone() or {}
    return Counts(**row), conflicts


async def apply(tx: Tx, import_id: UUID, today: date, zone: str) -> None:
    """Make communities, units, people and ownerships what the matched lines say; all of it or nothing."""
    values = {"import": import_id, "today": today, "zone": zone}
    for statement in (_AS_SETS, *_APPLY):
        await tx.execute(statement, values)
