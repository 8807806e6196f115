"""Reads each condition and each onboarding step off a tenant's world: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import desire, filling, hosting, migrating, migration, names, rotating, steps
from hoa_operator.kinds import INGRESS, is_owned_by, name_of
from hoa_operator.manifests.meta import is_current
from hoa_operator.plan import passwords_in_force
from hoa_operator.postgres.desired import differences
from hoa_operator.rotation import is_met, other
from hoa_operator.tenant import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.steps import Plan
    from hoa_operator.target import Failure
    from hoa_operator.world import World

ORDER: Final = (
    steps.READY,
    steps.SPEC_ACCEPTED,
    steps.CREDENTIALS_READY,
    steps.DATABASE_READY,
    steps.SCHEMA_CURRENT,
    steps.ROUTE_READY,
    steps.CAPACITY_READY,
    steps.DOMAINS_READY,
    steps.STORAGE_WITHIN_LIMIT,
    steps.WELCOME_MAIL_SENT,
    steps.STALLED,
    steps.IN_SYNC,
    steps.DELETION,
)
#: What Ready needs. SchemaCurrent is not among them: a served tenant stays Ready while it is upgraded.
NEEDED: Final = (
    steps.SPEC_ACCEPTED,
    steps.CREDENTIALS_READY,
    steps.DATABASE_READY,
    steps.SCHEMA_CURRENT,
    steps.ROUTE_READY,
    steps.CAPACITY_READY,
)


@dataclass(frozen=True)
class Finding:
    """A condition without its times."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


@dataclass(frozen=True)
class StepFinding:
    """Whether a step of the onboarding is done, and what there is to say."""

    done: bool
    message: str


SUSPENDED: Final = Finding("False", "Suspended", "people see a page that says the tenant is suspended")
PROGRESSING: Final = Finding("False", "Progressing", "nothing needs a person")


def read(world: World, plan: Plan) -> dict[str, Finding]:
    """Return every condition but Ready."""
    findings = {name: reader(world) for name, reader in _READERS.items()}
    if world.usage is not None:  # until it is measured, what was known before stays
        findings[steps.STORAGE_WITHIN_LIMIT] = Finding(*filling.finding(world, world.usage))
    if (welcome := _welcome(world)) is not None:
        findings[steps.WELCOME_MAIL_SENT] = welcome
    if world.target.spec.domains:
        findings[steps.DOMAINS_READY] = Finding(*hosting.finding(world))
    findings[steps.SPEC_ACCEPTED] = Finding("True", "Accepted", _accepted(world))
    findings[steps.STALLED] = PROGRESSING
    if world.target.tier.gone:
        findings |= _tier_gone(world)
    if plan.stop is not None:
        name, reason, message = plan.stop
        findings[name] = Finding("False", reason, message)
        findings[steps.STALLED] = Finding("True", reason, message)
    return findings


def _accepted(world: World) -> str:
    message = f"tier {world.target.tier.name}, server {world.target.server.name}"
    if world.target.pending_tier is not None:
        message += f"; {world.target.pending_tier.describe()}"
    if world.target.spec.backup:
        message += "; spec.backup is not carried out yet: back the server up"
    kept = [behind.words for behind in world.kept_behind if not behind.lost]
    lost = [behind.words for behind in world.kept_behind if behind.lost]
    if kept:
        message += (
            f"; data of an earlier {world.name} is kept ({_first(kept)}): "
            "docs/operations/retained-databases.md says how to take it over"
        )
    if lost:
        message += f"; data of an earlier {world.name} cannot come back ({_first(lost)})"
    return message


def _tier_gone(world: World) -> dict[str, Finding]:
    gone = (
        f"HOATier {world.target.tier.name} is gone, and the tenant goes on with the limits that it had there; name another in "
        "spec.tier, or apply that HOATier again"
    )
    return {
        steps.SPEC_ACCEPTED: Finding("False", "TierUnknown", gone),
        steps.STALLED: Finding("True", "TierUnknown", gone),
    }


def _first(found: Sequence[str]) -> str:
    return found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else "")


def in_sync(plan: Plan) -> Finding:
    """Return what a reconcile would change, for a tenant that is only observed."""
    differing = [step for step in plan.steps if not isinstance(step, steps.Tell)]
    if not differing:
        return Finding("True", "NoDifference", "the tenant is as its spec says")
    would = "; ".join(dict.fromkeys(step.describe() for step in differing))
    # What to do stands first: the list may be long, and is cut.
    told = "spec.managementPolicy is ObserveOnly and the tenant is not as its spec says; set it to Managed to have this done"
    return Finding("False", "Differs", f"{told}: {would}")


def ready(world: World, findings: Mapping[str, Finding]) -> Finding:
    """Return Ready of a tenant that has been taken into service."""
    for name in NEEDED:
        if name in (steps.SPEC_ACCEPTED, steps.SCHEMA_CURRENT):
            continue  # a bad new spec or a running upgrade leaves what is served as it is
        if name == steps.CAPACITY_READY and _served_meanwhile(world):
            continue
        if findings[name].status != "True":
            return Finding("False", findings[name].reason, findings[name].message)
    state = world.row.state if world.row else "Provisioning"
    if state == "Suspended":
        return SUSPENDED
    if state not in ("Active", "ReadOnly"):
        return Finding("False", "Provisioning", "the tenant is about to be opened")
    return Finding("True", "Serving", world.settings.route.url(world.target.hosts[0]))


def previous(before: Mapping[str, Any], name: str, failure: Failure | None) -> Finding:
    """Return a condition as it was, when nothing new could be found out; a broken door makes it False."""
    known = next((c for c in before.get("conditions") or () if c["type"] == name), None)
    if failure is not None and failure.condition not in (steps.SPEC_ACCEPTED, steps.SCHEMA_CURRENT):
        return Finding("False", failure.error.reason, failure.error.message)
    if known is None:
        return Finding("Unknown", "NotYetKnown", "the tenant was not looked at yet")
    return Finding(known["status"], known["reason"], known["message"])


def _credentials(world: World) -> Finding:
    credentials = world.credentials
    if credentials is None:
        return Finding("False", "SecretMissing", f"Secret {names.credentials_secret(world.name)} is not there yet")
    if not passwords_in_force(world, credentials):
        if world.reading.refused:
            return Finding("False", "PasswordChanged", "a login refuses the Secret's password; it is set again")
        if world.revision is not None and world.app_logins.registered == other(credentials.login):
            return Finding(
                "True",
                "Rotating",
                "the new login and keys are not in force yet; those before them serve until they are",
            )
        return Finding("False", "NotInForce", "the Secret's passwords are not set in Postgres and in the registry yet")
    return _rotation(world, credentials)


def _rotation(world: World, credentials: Credentials) -> Finding:
    """Return how credentials that are in force stand: replaced a moment ago, about to be replaced, or neither."""
    secret, ends = f"Secret {names.credentials_secret(world.name)}", rotating.overlap_ends(world)
    if ends is not None and world.is_overlapping:
        message = (
            f"rotated at {format_time(credentials.rotated_at)}; the login before is closed after {format_time(ends)}"
        )
        return Finding("True", "Overlapping", f"{secret} was {message}")
    hindrance = rotating.hindrance(world) if rotating.is_due(world, credentials) else None
    if hindrance is not None:
        return Finding("True", "RotationWaits", f"{secret} is in force; its rotation is due and waits: {hindrance}")
    return Finding("True", "InForce", secret + _met(world, credentials))


def _met(world: World, credentials: Credentials) -> str:
    """Say why a request asks for nothing: it does, too, when it was made with a time that is over, or by a clock behind."""
    wish = world.target.spec.credentials
    if wish.rotate_requested_at is None or not is_met(wish, credentials.rotated_at):
        return ""
    asked, last = (format_time(at) for at in (wish.rotate_requested_at, credentials.rotated_at))
    return (
        f"; the rotation asked for at {asked} is not later than the last one at {last} and counts as met by it: for another, "
        "set spec.credentials.rotateRequestedAt to a later time"
    )


def _database(world: World) -> Finding:
    if not world.database.exists:
        return Finding("False", "NotProvisioned", "the database is not made yet")
    differs = differences(world.database_spec(world.credentials), world.database)
    if differs:
        return Finding("False", "Differs", "; ".join(differs))
    made = f"database {desire.database_name(world)} on {world.target.server.name}"
    if world.reading.trouble is not None:
        trouble = world.reading.trouble
        return Finding("True", trouble.reason, f"{made}; its figures cannot be read: {trouble.message}")
    return Finding("True", "Provisioned", made)


def _schema(world: World) -> Finding:
    wanted, has = world.settings.app.schema_revision, world.revision
    if migrating.is_newer(world):
        return Finding(
            "False",
            "SchemaNewer",
            f"the database is at {has}, the app that is deployed at {wanted}; deploy the newer app",
        )
    if not migrating.is_needed(world):
        return Finding("True", "Current", f"at revision {has}")
    known = migrating.jobs(world)
    trouble = (known[-1].trouble or migration.retried(known)) if known else None
    if trouble is not None:
        reason, message = trouble
        return Finding("False", reason, f"Job {known[-1].name}: {message}")
    if known:
        return Finding(
            "False", "Migrating", f"Job {known[-1].name} takes the database from {has or 'empty'} to {wanted}"
        )
    at = f"the database is at {has or 'no revision'}"
    if world.turn:
        return Finding("False", "MigrationPending", f"{at}; it is about to be taken to {wanted}")
    most = world.settings.timing.job_concurrency
    return Finding(
        "False",
        "WaitingForTurn",
        f"{at}; its way to {wanted} waits for a turn: {most} migration Jobs run at once (operator.jobConcurrency)",
    )


def _route(world: World) -> Finding:
    for manifest in desire.routes(world):
        live = world.children.get(INGRESS, name_of(manifest))
        if live is None or not is_current(live, manifest) or not is_owned_by(live, world.uid):
            return Finding("False", "IngressNotCurrent", f"Ingress {name_of(manifest)} is not what it shall be yet")
    return Finding("True", "Routed", ", ".join(hosting.served(world)))


def _capacity(world: World) -> Finding:
    app = world.settings.app.deployment
    if world.shared_app is None:
        return Finding("False", "AppMissing", f"Deployment {app} is not in this namespace; install the app")
    if world.target.spec.placement == "Dedicated":
        if desire.available(world):
            return Finding("True", "Dedicated", f"Deployment {names.dedicated(world.name)}")
        return Finding(
            "False",
            "DedicatedNotAvailable",
            f"no pod of Deployment {names.dedicated(world.name)} is available yet; see kubectl describe deployment "
            f"{names.dedicated(world.name)}",
        )
    if _shared_available(world):
        return Finding("True", "Shared", f"Deployment {app}")
    return Finding(
        "False", "AppNotAvailable", f"no pod of Deployment {app} is available; see kubectl describe deployment {app}"
    )


def _shared_available(world: World) -> bool:
    app = world.shared_app or {}
    return int((app.get("status") or {}).get("availableReplicas") or 0) > 0


def _served_meanwhile(world: World) -> bool:
    """Tell whether the shared app serves a tenant whose own capacity is still on its way."""
    own = world.target.spec.placement == "Dedicated"
    return own and desire.backend(world) == world.settings.app.service and _shared_available(world)


def _welcome(world: World) -> Finding | None:
    """Tell of the admin's invitation no more than is known: which address a mail went to, only the migration's result says.
    None where what was known before stands until the figures are read."""
    if world.usage is None and world.reading.trouble is not None:
        return Finding("Unknown", world.reading.trouble.reason, world.reading.trouble.message)
    email, result = world.target.spec.admin.email, desire.marks(world).invitation
    if migrating.is_for_another_admin(world):
        return Finding("False", "NotQueued", f"the invitation to {email} is written when the migration has run")
    if result in _NOTHING_SENT:
        return _nothing_sent(email, str(result))
    if world.reading.later:
        return None
    return _mail(world.usage.welcome_mail if world.usage else "None", email if result else "")


def _mail(said: str, email: str) -> Finding:
    """Return how the last mail stands; without an address where nobody knows to whom it went."""
    to = f" to {email}" if email else ""
    if said == "Sent":
        return Finding("True", "Sent", f"the invitation went{to or ' out'}")
    if said == "Failed":
        return Finding(
            "False",
            "MailRefused",
            f"the invitation{to} was refused; check spec.admin.email and the mail server, "
            "docs/operations/HOAJobsGivenUp.md says how",
        )
    if said == "Queued":
        return Finding("False", "Queued", f"the invitation{to} waits in the outbox")
    return Finding("False", "NotQueued", "the invitation is written when the migration has run")


#: Results of a migration that had no need, or no way, to invite the admin (contract section 4).
_NOTHING_SENT: Final = frozenset({"IsOwner", "Invited", "HasAccount"})


def _nothing_sent(email: str, result: str) -> Finding:
    if result == "IsOwner":
        return Finding("True", "IsOwner", f"{email} signs in as owner already; no invitation was needed")
    if result == "Invited":
        return Finding("True", "Invited", f"{email} is invited as owner already, by another one in the portal")
    return Finding(
        "False",
        "HasAccount",
        f"{email} has an account that is no owner's or is closed, so that no invitation was sent; have an owner change it on the "
        "portal's Team page, or name another address in spec.admin.email",
    )


_READERS: Final[Mapping[str, Callable[[World], Finding]]] = {
    steps.CREDENTIALS_READY: _credentials,
    steps.DATABASE_READY: _database,
    steps.SCHEMA_CURRENT: _schema,
    steps.ROUTE_READY: _route,
    steps.CAPACITY_READY: _capacity,
}


def onboarding(world: World) -> dict[str, StepFinding]:
    """Return how far the tenant's onboarding is."""
    schema, mail, route = _schema(world), _welcome(world), _route(world)
    migrated = world.revision is not None
    after = "" if migrated else "after the migration"
    database = _database(world)
    found = {
        steps.CREATE_TENANT_RECORD: StepFinding(world.row is not None, f"tenant {world.target.tenant_id}"),
        steps.PROVISION_DATABASE: StepFinding(database.status == "True", database.message),
        steps.RUN_MIGRATIONS: StepFinding(migrated, schema.message),
        steps.CREATE_ADMIN_USER: StepFinding(migrated, after or f"invitation for {world.target.spec.admin.email}"),
        steps.CONFIGURE_ROUTE: StepFinding(route.status == "True", route.message),
        steps.INITIALIZE_DEFAULTS: StepFinding(migrated, after or "defaults are in place"),
    }
    if mail is not None:
        found[steps.SEND_WELCOME_EMAIL] = StepFinding(mail.status == "True", mail.message)
    return found
