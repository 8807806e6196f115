"""The node's keys and certificates, made once by the openssl program and kept with the cluster's state."""

import json
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.node import layout
from hack.cluster.node.layout import Layout
from hack.cluster.shell import Word, run

_DAYS = "3650"
_SERVICE = "kubernetes.default.svc"
_API_NAMES = (
    f"DNS:kubernetes,DNS:kubernetes.default,DNS:{_SERVICE},DNS:{_SERVICE}.cluster.local,DNS:localhost,"
    f"IP:{layout.API_SERVICE},IP:{layout.NODE_ADDRESS},IP:127.0.0.1"
)


@dataclass(frozen=True)
class Leaf:
    """One certificate: whose it is, which groups it puts its holder in, and the names it serves."""

    file: str
    user: str
    group: str = ""
    names: str = ""
    authority: str = "ca"


LEAVES = (
    Leaf("apiserver", "kube-apiserver", names=_API_NAMES),
    Leaf("apiserver-kubelet-client", "kube-apiserver-kubelet-client", group="system:masters"),
    Leaf("kubelet-server", f"system:node:{layout.NAME}", names=f"DNS:{layout.NAME},IP:{layout.NODE_ADDRESS}"),
    Leaf("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
)
CLIENTS = (
    Leaf("admin", "kubernetes-admin", group="system:masters"),
    Leaf("kube-controller-manager", "system:kube-controller-manager"),
    Leaf("kube-scheduler", "system:kube-scheduler"),
    Leaf("kube-proxy", "system:kube-proxy"),
    Leaf("kubelet", f"system:node:{layout.NAME}", group="system:nodes"),
)


def ensure(node: Layout) -> None:
    """Make every certificate and kubeconfig that is not there yet."""
    complete = node.pki / "complete"
    if complete.exists():
        return
    node.pki.mkdir(parents=True, exist_ok=True)
    node.pki.chmod(0o700)
    for authority in ("ca", "front-proxy-ca"):
        _authority(node.pki, authority)
    _key(node.pki / "service-account.key")
    run(
        [
            "openssl",
            "pkey",
            "-in",
            node.pki / "service-account.key",
            "-pubout",
            "-out",
            node.pki / "service-account.pub",
        ]
    )
    for leaf in (*LEAVES, *CLIENTS):
        _leaf(node.pki, leaf)
    complete.touch()


def kubeconfig(node: Layout, client: str) -> str:
    """A kubeconfig (JSON, which is YAML too) that carries the client's certificate in itself."""
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": layout.NAME,
        "contexts": [{"name": layout.NAME, "context": {"cluster": layout.NAME, "user": client}}],
        "clusters": [
            {
                "name": layout.NAME,
                "cluster": {"server": layout.API_URL, "certificate-authority-data": _base64(node.pki / "ca.crt")},
            }
        ],
        "users": [
            {
                "name": client,
                "user": {
                    "client-certificate-data": _base64(node.pki / f"{client}.crt"),
                    "client-key-data": _base64(node.pki / f"{client}.key"),
                },
            }
        ],
    }
    return json.dumps(data, indent=2) + "\n"


def _base64(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()


def _key(file: Path) -> None:
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file])
    file.chmod(0o600)


def _authority(pki: Path, name: str) -> None:
    _key(pki / f"{name}.key")
    argv: list[Word] = [
        "openssl",
        "req",
        "-x509",
        "-new",
        "-key",
        pki / f"{name}.key",
        "-days",
        _DAYS,
        "-subj",
        f"/CN={name}",
    ]
    argv += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign", "-out", pki / f"{name}.crt"]
    run(argv)


def _leaf(pki: Path, leaf: Leaf) -> None:
    _key(pki / f"{leaf.file}.key")
    subject = (f"/O={leaf.group}" if leaf.group else "") + f"/CN={leaf.user}"
    usage = "serverAuth" if leaf.names else "clientAuth"
    extensions = f"basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
    if leaf.names:
        extensions += f"subjectAltName={leaf.names}\n"
    authority = pki / leaf.authority
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        file.write(extensions)
        file.flush()
        request = run(["openssl", "req", "-new", "-key", pki / f"{leaf.file}.key", "-subj", subject])
        argv: list[Word] = [
            "openssl",
            "x509",
            "-req",
            "-days",
            _DAYS,
            "-extfile",
            file.name,
            "-out",
            pki / f"{leaf.file}.crt",
        ]
        argv += ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial"]
        run(argv, stdin=request)
