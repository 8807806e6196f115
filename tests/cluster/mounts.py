"""The kubelet's part for volumes: Secrets, ConfigMaps and service account tokens as files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.api import Api, Json


@dataclass(frozen=True)
class Mounts:
    """Writes what a pod mounts below a folder."""

    api: Api

    def write(self, pod: Json, folder: Path) -> dict[str, Path]:
        """Write every volume of the pod and return where each mount path of its first container lies."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        places = {}
        for mount in pod["spec"]["containers"][0].get("volumeMounts", []):
            place = folder / mount["name"]
            place.mkdir(parents=True, exist_ok=True)
            for name, text in self._content(pod, volumes[mount["name"]]).items():
                (place / name).write_text(text)
            places[mount["mountPath"]] = place
        return places

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Return a Secret's content; raise ApiError when there is none."""
        found = self.api.call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}

    def _content(self, pod: Json, volume: Json) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        if "secret" in volume:
            return self.secret(namespace, volume["secret"]["secretName"])
        if "configMap" in volume:
            return self._config_map(namespace, volume["configMap"]["name"])
        found: dict[str, str] = {}
        for source in volume.get("projected", {}).get("sources", []):
            if "serviceAccountToken" in source:
                found[source["serviceAccountToken"]["path"]] = self._token(pod)
            if "configMap" in source:
                found |= {"ca.crt": self.api.authority.read_text()}
            if "downwardAPI" in source:
                found |= {"namespace": namespace}
        return found

    def _config_map(self, namespace: str, name: str) -> dict[str, str]:
        found: dict[str, str] = self.api.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")["data"]
        return found

    def _token(self, pod: Json) -> str:
        account, namespace = pod["spec"]["serviceAccountName"], pod["metadata"]["namespace"]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        answer = self.api.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", body)
        token: str = answer["status"]["token"]
        return token
