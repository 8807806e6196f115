"""The statements that the app sends for the same answers; tests/bench/request_path.py checks that they still are."""

SESSION = """
SELECT s.id, u.id AS user_id, u.email, u.name, u.role, s.created_at,
       s.last_seen_at < now() - %(touch)s AS stale, s.via
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = %(token_hash)s AND s.revoked_at IS NULL AND s.expires_at > now()
    AND s.last_seen_at > now() - %(idle)s AND u.disabled_at IS NULL
"""
TOUCH = "UPDATE sessions SET last_seen_at = now() WHERE id = %s"
_TODAY = "(now() AT TIME ZONE c.time_zone)::date"
_PERSON = f"""
SELECT p.id, p.name, p.email, p.phone, p.mailing_address, p.version, p.user_id,
       CASE WHEN p.user_id IS NOT NULL THEN 'Active'
            WHEN EXISTS (SELECT FROM invitations i WHERE i.person_id = p.id AND i.accepted_at IS NULL
                          AND i.revoked_at IS NULL AND i.expires_at > now()) THEN 'Invited'
            ELSE 'None' END AS portal,
       (SELECT x.email FROM users x WHERE x.id = p.user_id) AS signs_in_as,
       ARRAY(SELECT c.name || ' ' || u.label FROM ownerships o JOIN units u ON u.id = o.unit_id
               JOIN communities c ON c.id = u.community_id WHERE o.person_id = p.id
                AND o.valid_from <= {_TODAY} AND (o.valid_to IS NULL OR o.valid_to > {_TODAY})
              ORDER BY lower(c.name), u.sort_key COLLATE "C") AS units
  FROM people p
"""
PERSON = f"{_PERSON} WHERE p.id = %s"
PEOPLE = f'{_PERSON} WHERE true ORDER BY p.name COLLATE "und-x-icu", p.id LIMIT %s'
TIME_ZONE = "SELECT value FROM settings WHERE key = 'time_zone'"
COMMUNITIES = "SELECT id, name FROM communities ORDER BY lower(name)"
INVITATIONS = (
    "SELECT id, person_id FROM invitations WHERE person_id = ANY(%s) AND accepted_at IS NULL AND revoked_at IS NULL"
)
KINDS = ("invitation", "welcome-mail")
MAILS = "SELECT dedupe_key, state, last_error, finished_at FROM outbox WHERE dedupe_key = ANY(%s)"
INSERT = (
    "INSERT INTO people (id, name, email, phone, mailing_address) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
AUDIT = (
    "INSERT INTO audit_log (actor_id, actor_label, action, subject_type, subject_id, detail)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
