"""Tests the Secrets that docs/operate/kubernetes.md lists: `dragoman secrets` writes them, and pods use them."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from local.options import load, variable
from local.settings_table import leaves
from services.cli.secrets import Addresses, issue
from shared.settings import Settings
from tests.deploy.manifests import K8S, Object, containers, labels_of_pods, needs_renderer, pod_template, workloads
from tests.support.commands import ROOT

SECTION = (ROOT / "docs/operate/kubernetes.md").read_text().split("\n## Secrets of your own\n")[1].split("\n## ")[0]
OF_TLS = {"ca.crt", "server.crt", "server.key"}


class Listed(NamedTuple):
    keys: set[str]
    users: set[str]
    """The pods that use the Secret, by the name in their labels. Empty if these pods are not Dragoman's."""
    note: str


def listed() -> dict[str, Listed]:
    """Returns the rows of the page's table, by Secret."""
    rows = re.findall(r"^\| `(dragoman-\w+)` \| (.*) \| ([\w, ]+?)(?: \((\w+)\)|: .*)? \|$", SECTION, re.MULTILINE)
    return {
        name: Listed(set(re.findall("`([^`]+)`", keys)), set(users.split(", ")) - {"none"}, note)
        for name, keys, users, note in rows
    }


@pytest.mark.parametrize("tls", [True, False])
def test_the_keys_are_the_files_that_are_issued(tls: bool, tmp_path: Path) -> None:
    issue(tmp_path, Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman", tls))
    issued = {name: one.keys for name, one in listed().items() if one.note != "optional"}
    expected = {name: keys if tls else keys - OF_TLS for name, keys in issued.items()}
    places = {f"dragoman-{place.name}": [file.name for file in place.glob("[!.]*")] for place in tmp_path.glob("*/")}
    assert set(places) == set(expected)
    for name, files in places.items():
        found = {next((key for key in expected[name] if fnmatch(file, key)), file) for file in files}
        assert found == expected[name], name


@needs_renderer
def test_the_pods_that_use_them_are_listed() -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for installation in ("dev", "prod"):
        for one in workloads(installation):
            for secret in used(one):
                users[secret].add(labels_of_pods(one)["app.kubernetes.io/name"])
    assert set(users) == {name for name, one in listed().items() if one.users}
    in_prod = {secret for one in workloads("prod") for secret in used(one)}
    for name, row in listed().items():
        assert users[name] == row.users, name
        assert (name in in_prod) is (bool(row.users) and row.note != "dev"), name


@needs_renderer
def test_the_optional_ones_hold_settings_and_may_be_missing() -> None:
    optional = {name: one for name, one in listed().items() if one.note == "optional"}
    known = {variable(name) for name, _, _ in leaves(Settings())}
    assert all(one.keys <= known for one in optional.values())
    sources = [source["secretRef"] for one in workloads("prod") for source in from_secrets(one)]
    assert sources == [{"name": name, "optional": True} for name in optional]


def used(workload: Object) -> Iterator[str]:
    for volume in pod_template(workload)["spec"]["volumes"]:
        if "secret" in volume:
            yield volume["secret"]["secretName"]
    for one in containers(workload):
        for entry in one.get("env", ()):
            if of := entry.get("valueFrom", {}).get("secretKeyRef"):
                yield of["name"]
    yield from (source["secretRef"]["name"] for source in from_secrets(workload))


def from_secrets(workload: Object) -> Iterator[Object]:
    """Yields the Secrets of which all keys become environment variables."""
    return (source for one in containers(workload) for source in one.get("envFrom", ()) if "secretRef" in source)


def external_secrets() -> list[Object]:
    return list(yaml.safe_load_all((K8S / "external-secrets.yaml").read_text()))


@needs_renderer
def test_external_secrets_make_those_that_are_mounted() -> None:
    """Each mounted Secret is made from the entry of the secret store with the same name. This entry has the keys."""
    objects = external_secrets()
    mounted = {volume["secret"]["secretName"] for one in workloads("prod")
               for volume in pod_template(one)["spec"]["volumes"] if "secret" in volume}  # fmt: skip
    assert {one["metadata"]["name"] for one in objects} == mounted
    for one in objects:
        name = one["metadata"]["name"]
        assert one["spec"]["target"]["name"] == name
        assert one["spec"]["dataFrom"] == [{"extract": {"key": name.replace("-", "/", 1)}}]


def test_the_example_is_one_of_them() -> None:
    example = yaml.safe_load(SECTION.split("```yaml\n")[1].split("```")[0])
    assert example in external_secrets()


def test_the_printed_command_issues_those_of_servers_elsewhere(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/commands\n')
    (programs / "kubectl").chmod(0o755)
    printed: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", "With Kubernetes", "3"]
    command = subprocess.run(printed, capture_output=True, text=True, check=True).stdout.splitlines()[1]
    assert command.startswith("deploy/k8s/secrets.sh dragoman ~/dragoman-secrets --nats")
    for option, placeholder, address in (
        ("--nats", "nats://…", "nats://nats.example:4222"),
        ("--valkey", "host:port", "valkey.example:6379"),
        ("--postgres", "host:port", "db.example:5432"),
    ):
        command = command.replace(f"{option} {placeholder}", f"{option} {address}")
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path)}
    subprocess.run(["/bin/sh", "-c", command], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    issued = tmp_path / "dragoman-secrets"
    made = re.findall(r"create secret generic (\S+)", (tmp_path / "commands").read_text())
    assert set(made) == {f"dragoman-{place.name}" for place in issued.iterdir() if place.is_dir()}
    settings, _ = load(issued / "message" / "dragoman.toml", {})
    assert settings.nats.url == "nats://nats.example:4222"
    assert "@db.example:5432/" in settings.database_url("message")
    assert "@valkey.example:6379/" in settings.redis.url.get_secret_value()


def test_no_annotation_holds_a_copy(tmp_path: Path) -> None:
    """With client-side apply, kubectl copies the object into an annotation.

    So Secrets are applied by the server, and existing copies are removed.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "kubectl": f'echo "$*" >> {tmp_path}/commands',
        "dragoman": 'mkdir -p "$2/auth" "$2/keys"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    command: list[str | Path] = [K8S / "secrets.sh", "chat", tmp_path / "secrets"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    commands = (tmp_path / "commands").read_text().splitlines()
    applied = [one.split() for one in commands if one.startswith("apply ")]
    assert len(applied) == 2
    assert all("--server-side" in one for one in applied)
    for name in ("dragoman-auth", "dragoman-keys"):
        copy = "kubectl.kubernetes.io/last-applied-configuration-"
        assert f"annotate secret {name} --namespace chat {copy}" in commands
