"""etcd, the API server, the controller manager and the scheduler: their command lines and configuration."""

import json
from pathlib import Path

from hack.cluster import debian
from hack.cluster.node import layout
from hack.cluster.node.layout import Layout
from hack.cluster.paths import Paths
from hack.cluster.shell import Word

ETCD_URL = "http://127.0.0.1:2379"
"""Loopback of the node's own network namespace: nothing outside reaches it."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}
"""Who wrote what, without the bodies: enough to count the writes of an onboarding."""


def configure(node: Layout) -> None:
    """Write the files that the command lines below name."""
    (node.config / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY, indent=2))


def etcd(node: Layout) -> list[Word]:
    """One member, no peers, its data with the cluster's state."""
    return [
        debian.program("etcd"),
        f"--data-dir={node.var}/lib/etcd",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--logger=zap",
        "--log-level=warn",
        "--auto-compaction-retention=1",
        "--quota-backend-bytes=2147483648",
    ]


def apiserver(programs: Path, node: Layout, paths: Paths) -> list[Word]:
    """The API server, with the aggregation layer that metrics need and an audit log of writes."""
    pki = node.pki
    return [
        programs / "kube-apiserver",
        f"--advertise-address={layout.NODE_ADDRESS}",
        f"--etcd-servers={ETCD_URL}",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        # The default tries the node's name first, which no DNS server knows.
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        "--enable-aggregator-routing=true",
        f"--audit-policy-file={node.config}/audit-policy.json",
        f"--audit-log-path={paths.audit_log}",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=2",
        "--profiling=false",
    ]


def controller_manager(programs: Path, node: Layout) -> list[Word]:
    """All the usual controllers; one member needs no leader election."""
    return [
        programs / "kube-controller-manager",
        f"--kubeconfig={node.config}/kube-controller-manager.kubeconfig",
        f"--root-ca-file={node.pki}/ca.crt",
        f"--service-account-private-key-file={node.pki}/service-account.key",
        f"--cluster-signing-cert-file={node.pki}/ca.crt",
        f"--cluster-signing-key-file={node.pki}/ca.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--profiling=false",
    ]


def scheduler(programs: Path, node: Layout) -> list[Word]:
    """The scheduler."""
    return [
        programs / "kube-scheduler",
        f"--kubeconfig={node.config}/kube-scheduler.kubeconfig",
        "--leader-elect=false",
        "--profiling=false",
    ]
