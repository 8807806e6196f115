"""What Helm cannot do by itself: make Secrets once, upgrade CRDs, and let go of tenants before an uninstall.

Runs in a Job with the operator's image, before each installation and upgrade (``prepare``) and before an uninstall
(``release-tenants``). Safe to repeat: what is already as it should be is not written.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FINALIZER = "hoaconnect.com/teardown"
MERGE_PATCH = "application/merge-patch+json"
DEADLINE_SECONDS = 90  # the operator is given 60 s to stop; the Job of an uninstall ends after 120 s
EXIT_FINAL = 2  # the Job's podFailurePolicy does not try again
Json = dict[str, Any]


class SetupError(Exception):
    """Something only a person can put right; the text says what."""


@dataclass(frozen=True)
class Api:
    """The Kubernetes API, as much of it as is needed here."""

    url: str
    token: Path
    authority: Path

    @classmethod
    def from_pod(cls, account: Path) -> Api:
        """Reach the API the way every pod does; ``account`` is where its service account is mounted."""
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        host = f"[{host}]" if ":" in host else host
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        return cls(f"https://{host}:{port}", account / "token", account / "ca.crt")

    def find(self, path: str) -> Json | None:
        """Return an object, or None if there is none."""
        try:
            return self.call("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def call(self, method: str, path: str, body: Json | None = None, content: str = "application/json") -> Json:
        """Send one request and return the answer; raises HTTPError."""
        request = urllib.request.Request(  # noqa: S310 - the address comes from the pod's own environment
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token.read_text().strip()}",
                "Content-Type": content,
                "User-Agent": "hoa-connect-setup",
            },
        )
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(request, timeout=30, context=context) as response:  # noqa: S310 - as above
            answer: Json = json.load(response)
            return answer


def prepare(api: Api, folder: Path) -> None:
    """Bring CRDs and Secrets to what the files in ``folder`` say."""
    for crd in json.loads((folder / "crds.json").read_text()):
        upgrade_crd(api, crd)
    plan = json.loads((folder / "secrets.json").read_text())
    for wanted in plan["secrets"]:
        refuse_new_sealing_key(api, plan["namespace"], wanted)
        ensure_secret(api, plan["namespace"], plan["labels"], wanted)


def upgrade_crd(api: Api, crd: Json) -> None:
    """Replace a CRD's spec when it differs, and wait until the API serves it."""
    name = crd["metadata"]["name"]
    live = api.find(f"{CRDS}/{name}")
    if live is None:
        api.call("POST", CRDS, crd)
        say(f"CRD {name}: created")
    else:
        fresh = {**live, "spec": crd["spec"]}
        fresh["metadata"] = {**live["metadata"], "labels": {**live["metadata"].get("labels", {}), **labels_of(crd)}}
        written = api.call("PUT", f"{CRDS}/{name}", fresh)
        changed = written["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]
        say(f"CRD {name}: {'upgraded' if changed else 'up to date'}")
    wait_until(lambda: is_established(api.find(f"{CRDS}/{name}")), f"CRD {name} is served")


def labels_of(crd: Json) -> Json:
    """Return the labels that the CRD's source carries."""
    labels: Json = crd["metadata"].get("labels", {})
    return labels


def is_established(crd: Json | None) -> bool:
    """Whether the API serves the CRD."""
    # A CRD that was just created has null where its conditions will be.
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def ensure_secret(api: Api, namespace: str, labels: Json, wanted: Json) -> None:
    """Create a Secret, or add to it what is missing: a password that exists is never replaced."""
    name, path = wanted["name"], f"/api/v1/namespaces/{namespace}/secrets"
    live = api.find(f"{path}/{name}")
    held = {key: base64.b64decode(value).decode() for key, value in ((live or {}).get("data") or {}).items()}
    data = make_certificate(wanted["certificate"], held) if "certificate" in wanted else {}
    for key, source in wanted.get("data", {}).items():
        data[key] = value_of(api, path, source, held.get(key))
    missing = {key: base64.b64encode(value.encode()).decode() for key, value in data.items() if held.get(key) != value}
    if live is None:
        metadata = {"name": name, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": wanted["type"], "data": missing}
        api.call("POST", path, body)
    elif missing:
        api.call("PATCH", f"{path}/{name}", {"data": missing}, MERGE_PATCH)
    say(f"Secret {name}: {'created' if live is None else 'changed: ' + ', '.join(missing) if missing else 'kept'}")


def refuse_new_sealing_key(api: Api, namespace: str, wanted: Json) -> None:
    """Raise where a sealing key is about to be made although tenants' passwords were sealed with one that is gone."""
    name = wanted["name"]
    if {"random": "fernet"} not in wanted.get("data", {}).values():
        return
    live = api.find(f"/api/v1/namespaces/{namespace}/secrets/{name}") or {}
    tenants = [] if (live.get("data") or {}).get("keys") else tenants_of(api, namespace)
    begun = [tenant["metadata"]["name"] for tenant in tenants if tenant.get("status")]
    if begun:
        raise SetupError(
            f"Secret {name} is gone or has no keys, and the passwords of {count_of(begun)} in the registry were sealed"
            " with it. Put it back from your copy and run this again. If there is none, make a new one:"
            f" kubectl -n {namespace} create secret generic {name}"
            " --from-literal=keys=$(openssl rand -base64 32 | tr +/ -_)"
            " and run this again; the operator then says UnsealFailed of each tenant that it cannot seal anew"
        )


def count_of(names: list[str]) -> str:
    """Return how many tenants these are, with the first few names."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} tenant{'s' if len(names) > 1 else ''} ({', '.join(sorted(names)[:3])}{more})"


def value_of(api: Api, path: str, source: Json, held: str | None) -> str:
    """Return what a key of a Secret shall hold: a given text, another Secret's key, or what it holds, once made."""
    if "value" in source:
        return str(source["value"])
    if "secret" in source:
        other = api.find(f"{path}/{source['secret']}")
        try:
            return base64.b64decode((other or {})["data"][source["key"]]).decode()
        except KeyError:
            raise SetupError(
                f"Secret {source['secret']} with the key {source['key']} does not exist; create it, then install again"
            ) from None
    if held:
        return held
    if source["random"] == "fernet":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(24)


def make_certificate(hosts: list[str], held: dict[str, str]) -> dict[str, str]:
    """Return the certificate that is held, or a new one that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if held.get("tls.crt") and held.get("tls.key"):
        return {key: held[key] for key in ("tls.crt", "tls.key")}
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": key.decode()}


def release_tenants(api: Api, namespace: str, operator: str) -> None:
    """Stop the operator, then take its finalizer off every tenant. Databases stay as they are.

    A tenant that is being deleted is not let go of: its entry in the registry would hold its name for ever.
    """
    leaving = [tenant["metadata"]["name"] for tenant in tenants_of(api, namespace) if is_leaving(tenant)]
    if leaving:
        raise SetupError(
            f"{count_of(leaving)} still being deleted, which only the operator can finish. Wait until they are gone"
            f" (kubectl -n {namespace} get hoat -w) and uninstall again, or uninstall with --no-hooks:"
            " then they go once an operator runs here again"
        )
    stop_operator(api, namespace, operator)
    wait_until(lambda: not let_go(api, namespace), "no tenant has the operator's finalizer any more")
    for tenant in filter(is_leaving, tenants_of(api, namespace)):
        say(f"HOATenant {tenant['metadata']['name']}: deleted meanwhile; it goes once an operator runs here again")


def let_go(api: Api, namespace: str) -> bool:
    """Take the operator's finalizer off every tenant that is not being deleted; tell whether one had it."""
    held = [
        tenant
        for tenant in tenants_of(api, namespace)
        if FINALIZER in tenant["metadata"].get("finalizers", []) and not is_leaving(tenant)
    ]
    for tenant in held:
        name, version = tenant["metadata"]["name"], tenant["metadata"]["resourceVersion"]
        kept = [entry for entry in tenant["metadata"]["finalizers"] if entry != FINALIZER]
        change = {"metadata": {"finalizers": kept, "resourceVersion": version}}
        api.call("PATCH", f"{tenants_path(namespace)}/{name}", change, MERGE_PATCH)
        say(f"HOATenant {name}: let go of; its database stays")
    return bool(held)


def tenants_path(namespace: str) -> str:
    """Return where a namespace's tenants are."""
    return f"/apis/hoaconnect.com/v1alpha1/namespaces/{namespace}/hoatenants"


def tenants_of(api: Api, namespace: str) -> list[Json]:
    """Return a namespace's tenants; none where the CRD is not there yet."""
    found: list[Json] = (api.find(tenants_path(namespace)) or {"items": []})["items"]
    return found


def is_leaving(tenant: Json) -> bool:
    """Whether a tenant is being deleted and waits for the operator."""
    return "deletionTimestamp" in tenant["metadata"] and FINALIZER in tenant["metadata"].get("finalizers", [])


def stop_operator(api: Api, namespace: str, operator: str) -> None:
    """Scale the operator to nothing and wait for its last pod, which would put the finalizer back: it works on while it
    ends, when the Deployment counts it no longer. One that was evicted has ended, and stays until it is cleaned away."""
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/{operator}"
    live = api.find(deployment)
    if live is None:
        return
    api.call("PATCH", f"{deployment}/scale", {"spec": {"replicas": 0}}, MERGE_PATCH)
    selector = ",".join(f"{key}={value}" for key, value in live["spec"]["selector"]["matchLabels"].items())
    query = {"labelSelector": selector, "fieldSelector": "status.phase!=Failed,status.phase!=Succeeded"}
    pods = f"/api/v1/namespaces/{namespace}/pods?{urllib.parse.urlencode(query)}"
    look = f"kubectl -n {namespace} get pods -l {selector}"
    gone = (
        f"no pod of the operator is left ({look}). It is scaled to nothing, and nobody looks after tenants until then. A pod on a "
        f"node that is lost for good: kubectl -n {namespace} delete pod NAME --force, then uninstall again; to go on working "
        f"instead: kubectl -n {namespace} scale deployment {operator} --replicas={live['spec'].get('replicas') or 1}"
    )
    wait_until(lambda: not api.call("GET", pods)["items"], gone)
    say("The operator has stopped")


def wait_until(holds: Any, what: str) -> None:
    """Wait until ``holds()`` says yes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SetupError(f"waited {DEADLINE_SECONDS} s in vain until {what}")
        time.sleep(0.5)


def say(line: str) -> None:
    """Write a line to the Job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(arguments: list[str]) -> None:
    """Run one verb."""
    match arguments:
        case ["prepare", account, folder]:
            prepare(Api.from_pod(Path(account)), Path(folder))
        case ["release-tenants", account, namespace, operator]:
            release_tenants(Api.from_pod(Path(account)), namespace, operator)
        case _:
            raise SetupError("usage: setup.py prepare ACCOUNT FOLDER | release-tenants ACCOUNT NAMESPACE DEPLOYMENT")


def main(arguments: list[str]) -> int:
    """Run one verb and say what went wrong in words."""
    try:
        run(arguments)
    except SetupError as error:
        say(f"error: {error}")
        return EXIT_FINAL
    except urllib.error.HTTPError as error:
        say(f"error: {error.url}: {error.code} {error.read().decode(errors='replace')}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
