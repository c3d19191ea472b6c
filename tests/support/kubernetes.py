"""The API server and the controllers of Kubernetes, without nodes. One thread does the work of all kubelets.

The machine must have the programs etcd, kube-apiserver, kube-controller-manager, kubectl and helm.
"""

import contextlib
import http.client
import json
import os
import shutil
import ssl
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from local.ports import free_port
from local.process_group import ProcessGroup
from services.cli.certificates import ensure_authority
from tests.support.servers import Server
from tests.support.waiting import block_until

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm")
_TOKEN = "operator"
_CONTROLLERS = ("deployment", "replicaset", "statefulset", "job", "garbage-collector", "serviceaccount",
                "root-ca-certificate-publisher")  # fmt: skip
_PODS = "/api/v1/pods"
_DNS = {"metadata": {"name": "dns", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"containers": [{"name": "dns", "image": "dns"}]}}  # fmt: skip
_LONG_AGO = "2020-01-01T00:00:00Z"
"""A time in the past. A pod that is ready since then counts as available at once."""

needs_api_server = pytest.mark.skipif(
    not all(map(shutil.which, _PROGRAMS)),
    reason=f"there are not all of {', '.join(_PROGRAMS)}: no package has kube-apiserver, and its build takes minutes",
)
Object = dict[str, Any]


class ApiServer:
    """A Kubernetes API server with its controllers.

    Every pod counts as ready at once. A pod that ends by itself counts as succeeded.
    """

    def __init__(self, directory: Path, process_group: ProcessGroup) -> None:
        authority = ensure_authority(directory)
        assert authority is not None
        authority.ensure(directory, ("127.0.0.1",))
        self._directory, self._process_group, self._port = directory, process_group, free_port()
        self._trusted = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        self._is_ended = threading.Event()
        self._kubelets = threading.Thread(target=self._run_pods, daemon=True)
        self._servers: list[Server] = []
        self.kubeconfig = directory / "kubeconfig"
        self.unready: set[tuple[str, str]] = set()
        """The process and the image of pods that never become ready."""
        self.started: list[tuple[str, str]] = []
        """The process and the image of each pod, in the order of their starts."""

    def start(self) -> None:
        etcd, peers = free_port(), free_port()
        self._run("etcd", etcd, (
            "--data-dir=etcd", "--unsafe-no-fsync", f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}", f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
        ))  # fmt: skip
        (self._directory / "tokens").write_text(f'{_TOKEN},operator,1,"system:masters"\n')
        self._run("kube-apiserver", self._port, (
            f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", f"--secure-port={self._port}",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--tls-cert-file=server.crt", "--tls-private-key-file=server.key", "--token-auth-file=tokens",
            "--service-account-issuer=https://127.0.0.1", "--service-account-key-file=server.crt",
            "--service-account-signing-key-file=server.key", "--authorization-mode=RBAC",
        ))  # fmt: skip
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{self._port}",
                                                   "certificate-authority": str(self._directory / "ca.crt")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": _TOKEN}}],
        }))  # fmt: skip
        block_until(self._is_ready)
        port = free_port()
        self._run("kube-controller-manager", port, (
            f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--secure-port={port}", "--cert-dir=controllers", "--root-ca-file=ca.crt",
            "--service-account-private-key-file=server.key", "--use-service-account-credentials=false",
            f"--controllers={','.join(f'{one}-controller' for one in _CONTROLLERS)}",
        ))  # fmt: skip
        block_until(lambda: self.request("POST", "/api/v1/namespaces/kube-system/pods", _DNS)["kind"] == "Pod")
        self._kubelets.start()

    def stop(self) -> None:
        self._is_ended.set()
        if self._kubelets.ident is not None:
            self._kubelets.join()
        for server in reversed(self._servers):
            server.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment for commands that use this API server, such as `dragoman`."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig)}

    def define(self, group: str, version: str, kind: str) -> None:
        """Defines a kind of an extension. Only the API of the extension exists, and no controller."""
        plural, schema = f"{kind.lower()}s", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        versions = [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
        self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
            "metadata": {"name": f"{plural}.{group}",
                         "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
            "spec": {"group": group, "scope": "Namespaced", "versions": versions,
                     "names": {"plural": plural, "singular": kind.lower(), "kind": kind}},
        })  # fmt: skip
        block_until(lambda: self._serves(f"/apis/{group}/{version}/{plural}"))

    def request(self, method: str, path: str, content: object = None) -> Any:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self._trusted)
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": kind}
        try:
            connection.request(method, path, json.dumps(content), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _run(self, name: str, port: int, options: Sequence[str]) -> None:
        program = shutil.which(name)
        assert program is not None
        server = Server(name, [program, *options], port, self._process_group, self._directory / f"{name}.log")
        self._servers.append(server)
        server.start()

    def _serves(self, path: str) -> bool:
        # until the API is ready, the proxy responds with "404 page not found", which is not JSON
        with contextlib.suppress(json.JSONDecodeError):
            return "items" in self.request("GET", path)
        return False

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):  # the proxy closes connections until it has its certificates
            return bool(self.request("GET", "/api/v1/namespaces/kube-system")["kind"] == "Namespace")
        return False

    def _run_pods(self) -> None:
        while not self._is_ended.wait(0.2):
            for pod in self.request("GET", _PODS)["items"]:
                if "deletionTimestamp" not in pod["metadata"] and not pod["status"].get("conditions"):
                    self._start(pod)

    def _start(self, pod: Object) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        process = metadata["labels"].get("app.kubernetes.io/name", metadata["name"]), spec["containers"][0]["image"]
        self.started.append(process)
        ready = "False" if process in self.unready else "True"
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": _LONG_AGO}
        phase = "Succeeded" if spec["restartPolicy"] == "Never" else "Running"
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        self.request("PATCH", path, {"status": {"phase": phase, "conditions": [condition]}})
