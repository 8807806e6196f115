"""The changes of a tenant's life that the operator is broken in the midst of."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tests.cluster.operating import condition, is_ready
from tests.cluster.platform import tenant
from tests.faults.pgworld import query
from tests.overlay import NEXT
from tests.waiting import until

if TYPE_CHECKING:
    from tests.faults.installation import Installation

Json = dict[str, Any]
CHANGED: Final = {
    "displayName": "Other Words",
    "tier": "large",
    "limits": {"requestsPerSecond": 33, "databaseConnections": 21},
    "branding": {"primaryColor": "#334455", "supportEmail": "help@words.example"},
}


ISSUED: Final = {"issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}}


class Case(ABC):
    """One tenant in one scenario: ``prepare`` brings it to the start, ``change`` makes the change, ``finished`` says
    cheaply whether the operator says that it is done."""

    #: Whether there is a HOATenant at the end.
    lives: ClassVar[bool] = True
    #: Whether all tenants are brought up first and a later version of the app is installed then.
    staged: ClassVar[bool] = False

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation = installation
        self.objects = installation.objects
        self.name = name
        self.tenant_id = ""
        self.uid = ""

    def prepare(self) -> None:
        """Bring up a tenant that is Ready."""
        self.bring_up()

    @abstractmethod
    def change(self) -> None:
        """Make the change."""

    def finished(self) -> bool:
        """Whether the operator says that it is done."""
        body = self.objects.find("HOATenant", self.name)
        return body is not None and is_ready(body)

    def apply(self, **spec: Any) -> None:
        """Apply the tenant with these fields of its spec instead of the usual ones."""
        body = self.objects.apply(tenant(self.name, **spec))
        self.uid = body["metadata"]["uid"]
        self.tenant_id = self.tenant_id or self.uid

    def bring_up(self, **spec: Any) -> None:
        """Apply it and wait until it is Ready."""
        self.apply(**spec)
        self.wait_settled()

    def wait_settled(self) -> None:
        """Wait until it is settled."""
        self.wait(self.is_settled)

    def is_settled(self) -> bool:
        """Whether it is Ready and the operator has seen what the tenant's database says of itself."""
        body = self.objects.get("HOATenant", self.name)
        return is_ready(body) and condition(body, "WelcomeMailSent")["reason"] not in ("", "Unknown")

    def wait(self, holds: Any) -> None:
        """Wait for something."""
        until(holds, lambda: f"{self.name}: {self.objects.find('HOATenant', self.name)}", 60, 0.05)

    def poke(self, number: int) -> None:
        """Have the operator look at the tenant; another number each time."""
        self.objects.patch("HOATenant", self.name, {"metadata": {"annotations": {"example.com/poke": str(number)}}})


class Create(Case):
    """A tenant comes up."""

    def prepare(self) -> None:
        """Nothing is there."""

    def change(self) -> None:
        """Apply it."""
        self.apply()


class Update(Case):
    """Tier, limits, domains with and without a certificate of their own, branding and display name change at once."""

    def change(self) -> None:
        """Apply it otherwise."""
        domains = [{"host": f"portal.{self.name}.example"}, {"host": f"www.{self.name}.example", "tls": ISSUED}]
        self.apply(**CHANGED, domains=domains)


class NewAdmin(Case):
    """Another person administers it: a second migration Job invites them."""

    def change(self) -> None:
        """Apply it with another admin."""
        self.apply(admin={"name": "New", "email": "new@words.example"})

    def finished(self) -> bool:
        """Whether the second Job is through and the operator knows it."""
        jobs = self.objects.list("Job", f"hoaconnect.com/tenant={self.name}")
        body = self.objects.get("HOATenant", self.name)
        ended = [job for job in jobs if (job.get("status") or {}).get("succeeded")]
        return len(ended) == 2 and is_ready(body) and condition(body, "SchemaCurrent")["status"] == "True"


class Suspend(Case):
    """It is suspended."""

    def change(self) -> None:
        """Apply it suspended."""
        self.apply(state="Suspended")

    def finished(self) -> bool:
        """Whether it says so."""
        return _phase(self.objects.find("HOATenant", self.name)) == "Suspended"


class Resume(Suspend):
    """It was suspended and comes back."""

    def prepare(self) -> None:
        """Bring it up and suspend it."""
        self.bring_up()
        self.apply(state="Suspended")
        self.wait(super().finished)

    def change(self) -> None:
        """Apply it active."""
        self.apply()

    def finished(self) -> bool:
        """Whether it is served."""
        return Case.finished(self)


class ReadOnly(Case):
    """It may be read only."""

    def change(self) -> None:
        """Apply it read-only."""
        self.apply(state="ReadOnly")


class Dedicate(Case):
    """It gets its own capacity."""

    def change(self) -> None:
        """Apply it dedicated."""
        self.apply(placement="Dedicated")

    def finished(self) -> bool:
        """Whether it is served by its own Deployment, which this makes available as a kubelet would."""
        own = f"tenant-{self.name}-app"
        deployment = self.objects.find("Deployment", own)
        if deployment is not None and not (deployment.get("status") or {}).get("availableReplicas"):
            self.installation.app_available(own)
        return super().finished() and self.backend() == own

    def backend(self) -> str:
        """Return the Service its host leads to."""
        ingress = self.objects.find("Ingress", f"tenant-{self.name}") or {"spec": {"rules": []}}
        services = [rule["http"]["paths"][0]["backend"]["service"]["name"] for rule in ingress["spec"]["rules"]]
        return str(services[0]) if services else ""


class Share(Dedicate):
    """It gives its own capacity up."""

    def prepare(self) -> None:
        """Bring it up with its own capacity."""
        self.apply(placement="Dedicated")
        self.wait(super().finished)

    def change(self) -> None:
        """Apply it shared."""
        self.apply()

    def finished(self) -> bool:
        """Whether its own Deployment is gone."""
        return Case.finished(self) and self.objects.find("Deployment", f"tenant-{self.name}-app") is None


class Rotate(Case):
    """Its credentials are rotated on request: the other login, and the one before closed after the overlap."""

    login: ClassVar[str] = "_app_b"

    def change(self) -> None:
        """Ask for it."""
        self.apply(credentials={"rotateRequestedAt": dt.datetime.now(dt.UTC).isoformat()})

    def finished(self) -> bool:
        """Whether the new login is in force and the one before closed."""
        return self.is_rotated_to(self.login)

    def is_rotated_to(self, login: str) -> bool:
        """Whether that login is in force and the one before closed."""
        body = self.objects.get("HOATenant", self.name)
        named = (body["status"].get("credentials") or {}).get("login", "")
        return is_ready(body) and named.endswith(login) and condition(body, "CredentialsReady")["reason"] == "InForce"


class RotateBack(Rotate):
    """They are rotated once more, so that the first login is in force again."""

    login = "_app"

    def prepare(self) -> None:
        """Bring it up and rotate them."""
        super().prepare()
        super().change()
        self.wait(lambda: self.is_rotated_to(Rotate.login))


class Drop(Case):
    """It is deleted, its data with it at once."""

    lives = False
    database: ClassVar[Json] = {"deletionPolicy": "Delete", "undeleteWindow": "0s"}

    def prepare(self) -> None:
        """Bring it up with the policy."""
        self.bring_up(database=self.database)

    def change(self) -> None:
        """Delete it."""
        self.objects.delete("HOATenant", self.name)

    def finished(self) -> bool:
        """Whether it is gone."""
        return self.objects.find("HOATenant", self.name) is None


class Retain(Drop):
    """It is deleted, and its data stays."""

    database = {"deletionPolicy": "Retain"}


class Lapse(Drop):
    """It is deleted, and its data a moment later, when its undelete window is over."""

    database = {"deletionPolicy": "Delete", "undeleteWindow": "2s"}

    def finished(self) -> bool:
        """Whether both are gone."""
        return super().finished() and not self._has_roles()

    def _has_roles(self) -> bool:
        prefix = f"hoa_connect_tenant_{self.tenant_id.replace('-', '')}_"
        found = query(
            self.installation.platform.postgres.dsn(), "SELECT 1 FROM pg_roles WHERE starts_with(rolname, %s)", [prefix]
        )
        return bool(found)


class Undelete(Drop):
    """It was deleted, is within its undelete window, and applied again it takes its data over."""

    lives = True
    database = {"deletionPolicy": "Delete"}

    def prepare(self) -> None:
        """Bring it up and delete it."""
        super().prepare()
        super().change()
        self.wait(super().finished)

    def change(self) -> None:
        """Apply one of the same name that asks for the data."""
        self.apply(database=self.database, adoptionPolicy="IfUnclaimed")

    def finished(self) -> bool:
        """Whether it is served."""
        return Case.finished(self)


class Upgrade(Case):
    """A later version of the app is installed, and the tenant, which was held back, is let on: its schema goes up."""

    staged = True

    def hold(self) -> None:
        """Have the operator leave it alone."""
        self.apply(managementPolicy="Paused")

    def wait_held(self) -> None:
        """Wait until the operator says so."""
        self.wait(lambda: _phase(self.objects.find("HOATenant", self.name)) == "Paused")

    def prepare(self) -> None:
        """It was brought up and held before the later version came."""

    def change(self) -> None:
        """Let it on."""
        self.apply()

    def finished(self) -> bool:
        """Whether it is served at the later schema."""
        body = self.objects.get("HOATenant", self.name)
        return is_ready(body) and body["status"].get("schemaRevision") == NEXT


def _phase(body: Json | None) -> str:
    status = (body or {}).get("status") or {}
    current = status.get("observedGeneration") == (body or {}).get("metadata", {}).get("generation")
    return str(status.get("phase", "")) if current else ""


Scenario = type[Case]
SCENARIOS: Final[tuple[Scenario, ...]] = (
    Create,
    Update,
    NewAdmin,
    Suspend,
    Resume,
    ReadOnly,
    Dedicate,
    Share,
    Rotate,
    RotateBack,
    Drop,
    Retain,
    Lapse,
    Undelete,
    Upgrade,
)
