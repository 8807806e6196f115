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

# What another match found is not looked at, and a line of which the same is found again is not written again.
_MATCH = """
WITH placed AS (
  SELECT r.*, c.id AS known_community, u.id AS known_unit, p.id AS mailed FROM import_rows r
    LEFT JOIN communities c ON lower(c.name) = lower(r.community)
    LEFT JOIN units u ON u.community_id = c.id AND lower(u.label) = lower(r.unit)
    LEFT JOIN people p ON p.email = r.email AND r.email <> ''
   WHERE r.import_id = %(import)s
), named AS (
  -- The same name in the same unit, unless that person has another address than the file gives.
  SELECT DISTINCT ON (i.person_key) i.person_key, p.id FROM placed i
    JOIN ownerships o ON o.unit_id = i.known_unit AND o.valid_to IS NULL
    JOIN people p ON p.id = o.person_id AND lower(p.name) = lower(i.name)
   WHERE i.mailed IS NULL AND (i.email = '' OR p.email = '') AND NOT EXISTS (SELECT FROM placed t WHERE t.mailed = p.id)
   ORDER BY i.person_key, p.id
), found AS (
  SELECT i.line, i.known_community AS community_id, i.known_unit AS unit_id, p.id AS person_id, o.id AS ownership_id,
         CASE WHEN o.id IS NULL THEN 'New'
              WHEN p.name <> i.name OR (i.email <> '' AND p.email <> i.email) OR (i.phone <> '' AND p.phone <> i.phone)
                OR (i.mailing_address <> '' AND p.mailing_address <> i.mailing_address)
                OR (i.unit_address <> '' AND u.address <> i.unit_address)
                OR o.valid_from <> i.owner_since OR o.is_primary <> i.is_primary THEN 'Updated'
              ELSE 'Unchanged' END AS outcome
    FROM placed i LEFT JOIN named n ON n.person_key = i.person_key
    LEFT JOIN people p ON p.id = coalesce(i.mailed, n.id) LEFT JOIN units u ON u.id = i.known_unit
    LEFT JOIN ownerships o ON o.unit_id = u.id AND o.person_id = p.id AND o.valid_to IS NULL
)
UPDATE import_rows r SET community_id = f.community_id, unit_id = f.unit_id, person_id = f.person_id,
       ownership_id = f.ownership_id, outcome = f.outcome FROM found f
 WHERE r.import_id = %(import)s AND r.line = f.line AND (r.community_id, r.unit_id, r.person_id, r.ownership_id, r.outcome)
       IS DISTINCT FROM (f.community_id, f.unit_id, f.person_id, f.ownership_id, f.outcome)
"""

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

# What is known goes by its id; what this import makes, by its name: only here it cannot change before the end. The tenant
# is asked for once, not by the column's default for each row.
_APPLY = (
    """INSERT INTO communities (name, time_zone) SELECT min(community), %(zone)s FROM import_rows
       WHERE import_id = %(import)s AND community_id IS NULL GROUP BY lower(community)""",
    """UPDATE units u SET address = r.address, version = version + 1, updated_at = now() FROM (
         SELECT unit_id, max(unit_address) AS address FROM import_rows
          WHERE import_id = %(import)s AND unit_address <> '' GROUP BY unit_id) r
       WHERE u.id = r.unit_id AND u.address <> r.address""",
    """INSERT INTO units (tenant_id, community_id, label, address)
       SELECT (SELECT current_tenant()), coalesce(r.community_id, c.id), min(r.unit), max(r.unit_address)
         FROM import_rows r LEFT JOIN communities c ON r.community_id IS NULL AND lower(c.name) = lower(r.community)
        WHERE r.import_id = %(import)s AND r.unit_id IS NULL GROUP BY 2, lower(r.unit)""",
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
         AND o.person_id IS DISTINCT FROM r.person_id""",
    """UPDATE ownerships o SET valid_from = coalesce(r.owner_since, o.valid_from),
         is_primary = coalesce(r.is_primary, o.is_primary), updated_at = now() FROM import_rows r
       WHERE r.import_id = %(import)s AND o.id = r.ownership_id
         AND (o.valid_from, o.is_primary)
             IS DISTINCT FROM (coalesce(r.owner_since, o.valid_from), coalesce(r.is_primary, o.is_primary))""",
    # Materialized: a plan that ran the subquery twice would draw two ids for a person of several lines. By unit: the
    # index that excludes overlaps grows fastest so, and slowest by person, its first column.
    """WITH drawn AS MATERIALIZED (SELECT person_key, gen_random_uuid() AS id FROM import_rows
         WHERE import_id = %(import)s AND person_id IS NULL GROUP BY person_key),
       new AS (SELECT r.*, d.id AS drawn, coalesce(r.person_id, d.id) AS owner, coalesce(r.unit_id, u.id) AS home
         FROM import_rows r LEFT JOIN drawn d ON r.person_id IS NULL AND d.person_key = r.person_key
         LEFT JOIN communities c ON r.community_id IS NULL AND lower(c.name) = lower(r.community)
         LEFT JOIN units u ON r.unit_id IS NULL AND u.community_id = coalesce(r.community_id, c.id)
              AND lower(u.label) = lower(r.unit)
        WHERE r.import_id = %(import)s AND r.ownership_id IS NULL),
       made AS (INSERT INTO people (tenant_id, id, name, email, phone, mailing_address)
         SELECT (SELECT current_tenant()), drawn, (array_agg(name ORDER BY line))[1], max(email), max(phone),
                max(mailing_address)
           FROM new WHERE drawn IS NOT NULL GROUP BY drawn)
       INSERT INTO ownerships (tenant_id, person_id, unit_id, valid_from, is_primary)
       SELECT (SELECT current_tenant()), owner, home, coalesce(owner_since, %(today)s), coalesce(is_primary, false)
         FROM new ORDER BY home""",
)


async def match(tx: Tx, import_id: UUID, today: date) -> tuple[Counts, int]:
    """Match every line; returns what importing them would do and how many lines the database would refuse."""
    values = {"import": import_id, "today": today}
    for statement in (_AS_SETS, _MATCH):
        await tx.execute(statement, values)
    conflicts = (await tx.execute(_CONFLICTS, values)).rowcount
    row = await (await tx.execute(_COUNTS, values)).fetchone() or {}
    return Counts(**row), conflicts


async def apply(tx: Tx, import_id: UUID, today: date, zone: str) -> None:
    """Make communities, units, people and ownerships what the matched lines say; all of it or nothing."""
    values = {"import": import_id, "today": today, "zone": zone}
    for statement in (_AS_SETS, *_APPLY):
        await tx.execute(statement, values)
