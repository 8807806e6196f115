"""`python -m hoa_operator orphans`: finds all that was planted and nothing else, changes nothing, and names commands that work."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from tests.cluster.operating import app_available, bring_up, settled
from tests.cluster.test_operator_deletion import REGISTRY, roles
from tests.cluster.test_operator_namespace import what_is_kept

if TYPE_CHECKING:
    from tests.cluster.platform import Operator, Platform


def orphans(operator: Operator, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as `kubectl exec` does in the operator's pod."""
    argv = [sys.executable, "-m", "hoa_operator", "orphans", *arguments]
    return subprocess.run(argv, env=operator.process.env, capture_output=True, text=True, check=False, timeout=60)


def found(operator: Operator) -> list[dict[str, Any]]:
    """Return what it lists, all having been read."""
    done = orphans(operator, "-o", "json")
    said = json.loads(done.stdout)
    assert (said["unread"], done.stderr) == ([], "")
    assert done.returncode == (3 if said["orphans"] else 0)
    listed: list[dict[str, Any]] = said["orphans"]
    return listed


def sql(platform: Platform, dbname: str, *statements: str) -> None:
    with psycopg.connect(platform.postgres.dsn(dbname), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def obey(platform: Platform, todo: str) -> None:
    """Run the command that a line names: kubectl, or psql's statement in the database it names."""
    words = shlex.split(todo)
    if words[0] == "kubectl":
        platform.kubectl(*words[1:])
        return
    begin = words.index("psql")
    assert words[begin : begin + 5] == ["psql", "-h", platform.postgres.host, "-p", str(platform.postgres.port)]
    sql(platform, words[words.index("-d") + 1], words[words.index("-c") + 1])


def test_where_everything_has_its_owner_there_are_none(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    operator = own_platform.operator().start()
    bring_up(own_platform, "lakeside")
    bring_up(own_platform, "seabreeze", database={"deletionPolicy": "Delete"})
    own_platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    settled(own_platform)
    assert found(operator) == []
    done = orphans(operator)
    assert done.stdout == "No orphans: everything was read, and everything has a living owner\n"
    assert operator.answers("readyz"), "the operator's own sessions go on"


def test_each_kind_is_found_with_the_command_that_ends_it(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    bodies = {name: bring_up(own_platform, name) for name in ("living", "lost", "overdue", "emptied")}
    kubectl("delete", "hoatenant", "overdue", "emptied", "--timeout=60s")
    settled(own_platform)
    operator.stop()
    kubectl.patch("hoatenant", "lost", {"metadata": {"finalizers": None}})
    kubectl.delete("hoatenant", "lost", "--timeout=30s")
    kubectl.wait_gone("secret", "tenant-lost-credentials")
    kubectl.wait_gone("ingress", "tenant-lost")
    names = {name: body["status"]["database"]["name"] for name, body in bodies.items()}
    database, role = f"hoa_connect_tenant_{uuid4().hex}", f"hoa_connect_tenant_{uuid4().hex}_app"
    emptied = names["emptied"].replace("_tenant_", "_deleted_")
    sql(
        own_platform, "postgres", f"CREATE DATABASE {database}", f"CREATE ROLE {role} LOGIN", f"DROP DATABASE {emptied}"
    )
    late = f"tenant_id = '{bodies['overdue']['status']['tenantID']}'"
    sql(own_platform, REGISTRY, f"UPDATE placements SET drop_after = now() - interval '1 hour' WHERE {late}")
    labels = {
        "app.kubernetes.io/instance": "hoa-connect",
        "app.kubernetes.io/managed-by": "hoa-operator",
        "hoaconnect.com/tenant": "gone",
    }
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tenant-gone-credentials", "labels": labels}}
    )
    before, writes = what_is_kept(own_platform), len(own_platform.operator_writes())
    listed = found(operator)
    namespace = kubectl.namespace
    of_emptied = roles(own_platform, bodies["emptied"]["status"]["tenantID"])
    assert len(of_emptied) >= 4
    assert [(item["kind"], item["name"], item["where"]) for item in listed] == [
        ("Database", database, "default"),
        ("RegistryRow", f"{namespace}/emptied", "registry"),
        ("RegistryRow", f"{namespace}/lost", "registry"),
        ("RetainedDatabase", f"{namespace}/overdue", "default"),
        *(("Role", name, "default") for name in sorted([role, *of_emptied])),
        ("Secret", "tenant-gone-credentials", namespace),
    ]
    assert (what_is_kept(own_platform), len(own_platform.operator_writes())) == (before, writes), "it changes nothing"
    lines = orphans(operator).stdout.splitlines()
    assert len(lines) == len(listed) + 2
    secret = own_platform.postgres.password
    assert not secret or secret not in "\n".join(lines)
    for item in listed:
        if item["kind"] != "RetainedDatabase" and "IfUnclaimed" not in item["todo"]:
            obey(own_platform, item["todo"])
    assert [(item["kind"], item["name"]) for item in found(operator)] == [
        ("RegistryRow", f"{namespace}/lost"),
        ("RetainedDatabase", f"{namespace}/overdue"),
    ]
    back = bring_up_again(own_platform, operator, "lost")
    assert back == bodies["lost"]["status"]["tenantID"]
    assert found(operator) == [], "the operator has dropped what was overdue"


def bring_up_again(platform: Platform, operator: Operator, name: str) -> str:
    """Start the operator again and apply a tenant that takes its data over; return its tenant id."""
    operator.start()
    body = bring_up(platform, name, adoptionPolicy="IfUnclaimed")
    settled(platform)
    return str(body["status"]["tenantID"])


def test_what_cannot_be_read_is_never_none(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    bring_up(own_platform)
    settled(own_platform)
    operator.stop()
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"port": 1}}})
    done = orphans(operator)
    assert done.returncode == 4
    assert done.stdout == "0 found, but not everything could be read\n"
    assert "could not look: HOADatabaseServer default: ServerUnreachable" in done.stderr
    kubectl("delete", "rolebinding", "hoa-connect-operator")
    done = orphans(operator, "-o", "json")
    assert done.returncode == 4
    assert {text.split(":")[0] for text in json.loads(done.stdout)["unread"]} >= {
        "HOATenants",
        "HOADatabaseServers",
        "Secrets",
    }
