"""Runs the operator's commands on one namespace of a cluster."""

import subprocess
from pathlib import Path

import yaml

from tests.deploy.manifests import K8S, Object
from tests.support.commands import ROOT
from tests.support.kubernetes import ApiServer
from tests.support.waiting import block_until

SERVERS = ("--nats", "nats://nats.example:4222", "--valkey", "valkey.example:6379", "--postgres", "db.example:5432")


class Installation:
    """The installation in one namespace, on which it runs commands."""

    def __init__(self, cluster: ApiServer, namespace: str, directory: Path) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.values = directory / "mine.yaml"
        manifest = directory / "namespace.yaml"
        text = (K8S / "namespace.yaml").read_text()
        manifest.write_text(text.replace("name: dragoman", f"name: {namespace}"))
        self.run("kubectl", "apply", "--server-side", "-f", manifest)
        self.run(K8S / "secrets.sh", namespace, directory / "secrets", *SERVERS)
        block_until(lambda: self.attempt("kubectl", "-n", namespace, "get", "configmap", "kube-root-ca.crt")[0] == 0)

    def attempt(self, *command: str | Path, seconds: int = 60) -> tuple[int, str]:
        environment = {**self.cluster.environment, "DRAGOMAN_STEP_SECONDS": str(seconds)}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def run(self, *command: str | Path) -> str:
        status, output = self.attempt(*command)
        assert status == 0, output
        return output

    def helm(self, verb: str, *options: str | Path) -> str:
        return self.run("helm", *verb.split(), "dragoman", *options, "--namespace", self.namespace)

    def objects(self, kinds: str) -> dict[tuple[str, str], Object]:
        text = self.run("kubectl", "-n", self.namespace, "get", kinds, "--output", "yaml")
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load(text)["items"]}

    def deployments(self) -> dict[str, Object]:
        return {name: one["spec"] for (_, name), one in self.objects("deployments").items()}

    def images(self) -> dict[str, str]:
        return {name: image(spec) for name, spec in self.deployments().items()}


def image(spec: Object) -> str:
    (container,) = spec["template"]["spec"]["containers"]
    found: str = container["image"]
    return found
