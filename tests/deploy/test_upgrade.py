"""upgrade.sh: its order, what it checks before it applies anything, and how it goes back."""

import marshal
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import K8S, RENDERER, RENDERERS, needs_renderer

pytestmark = needs_renderer
SERVICES = ["message", "session", "auth", "edge", "dashboard"]
DRY_RUN = "apply --selector=app.kubernetes.io/name!=migrate --dry-run"


class FakeInstallation:
    """A copy of deploy/k8s, and a kubectl whose cluster is a few files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(K8S.parent, directory / "deploy")
        self.k8s = directory / "deploy" / "k8s"
        self.trust('["10.244.3.0/24"]')
        kubectl = directory / "bin" / "kubectl"
        kubectl.parent.mkdir()
        kubectl.write_text(f"#!{sys.executable} -IS\n{Path(__file__).with_name('fake_kubectl.py').read_text()}")
        kubectl.chmod(0o755)
        self.answer({})
        self.set_revisions({})

    def trust(self, networks: str) -> None:
        """In the overlay prod, which has an Ingress."""
        settings = self.k8s / "overlays" / "prod" / "settings.yaml"
        line = f"TRUSTED_PROXIES: '{networks}'\n"
        settings.write_text(re.sub("TRUSTED_PROXIES: .*\n", line, settings.read_text()))

    def answer(self, answers: dict[str, tuple[int, str, str]]) -> None:
        (self.directory / "answers").write_bytes(marshal.dumps(answers))

    def set_revisions(self, revisions: dict[str, int]) -> None:
        (self.directory / "revisions").write_bytes(marshal.dumps(revisions))

    def revisions(self) -> dict[str, int]:
        found: dict[str, int] = marshal.loads((self.directory / "revisions").read_bytes())  # noqa: S302
        return found

    def upgrade(self, *arguments: str, overlay: str = "dev") -> "subprocess.CompletedProcess[str]":
        assert RENDERER is not None
        (self.directory / "commands").write_text("")
        environment = {
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}", "FAKE": str(self.directory),
            "RENDER": f"{shutil.which(RENDERER)} {RENDERERS[RENDERER]}", "DRAGOMAN_STEP_SECONDS": "5",
        }  # fmt: skip
        is_option = arguments[:1] in (("--back",), ("--check",))
        before, after = (arguments[:1], arguments[1:]) if is_option else ((), arguments)
        command: list[str | Path] = [self.k8s / "upgrade.sh", *before, self.k8s / "overlays" / overlay, *after]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
        assert not list(self.k8s.glob("overlays/.upgrade*"))
        return done

    def commands(self, *beginnings: str) -> list[str]:
        lines = (self.directory / "commands").read_text().splitlines()
        return [line for line in lines if line.startswith(beginnings)]

    def applied(self, kind: str) -> dict[str, Any]:
        with (self.directory / "applied.yaml").open() as file:
            objects = list(yaml.load_all(file, yaml.CSafeLoader))
        return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}

    def secret_hashes(self) -> dict[str, str]:
        found = {**self.applied("Deployment"), **self.applied("StatefulSet")}
        return {
            name: one["spec"]["template"]["metadata"]["annotations"]["dragoman/secrets"] for name, one in found.items()
        }


@pytest.fixture
def installation(tmp_path: Path) -> FakeInstallation:
    return FakeInstallation(tmp_path)


def test_databases_first_edges_and_dashboard_last_each_awaited(installation: FakeInstallation) -> None:
    done = installation.upgrade("0.2.0")
    assert done.returncode == 0, done.stderr
    steps = installation.commands("apply --selector", "rollout status", "delete job", "get job")
    assert steps[0].startswith(DRY_RUN)
    assert steps[1:] == [
        "apply --selector=app.kubernetes.io/name notin (migrate, message, session, auth, edge, dashboard)",
        "rollout status statefulset.apps/nats",
        "delete job migrate",
        "apply --selector=app.kubernetes.io/name=migrate",
        "get job migrate",
        *(step for one in SERVICES
          for step in (f"apply --selector=app.kubernetes.io/name={one}", f"rollout status deployment/{one}")),
    ]  # fmt: skip
    ours = [*installation.applied("Deployment").values(), *installation.applied("Job").values()]
    images = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in ours}
    assert images == {"dragoman:0.2.0"}


def test_each_step_selects_objects_of_the_overlay(installation: FakeInstallation) -> None:
    """Nothing is left out by all selectors, and each service's Deployment is in its own step."""
    assert installation.upgrade().returncode == 0
    for service in SERVICES:
        labels = installation.applied("Deployment")[service]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == service
    assert installation.applied("Job")["migrate"]["metadata"]["labels"]["app.kubernetes.io/name"] == "migrate"


def test_a_failed_step_goes_back(installation: FakeInstallation) -> None:
    installation.set_revisions({one: 3 for one in SERVICES})
    installation.answer({"rollout status deployment/auth": (1, "", "timed out")})
    done = installation.upgrade()
    assert done.returncode == 1
    assert "apply --selector=app.kubernetes.io/name=edge" not in installation.commands("apply")
    assert installation.commands("rollout undo") == ["rollout undo deployment/auth --to-revision=3"]
    installation.answer({})  # auth was not ready after going back, either
    assert installation.upgrade("--back").returncode == 0
    undone = [one.split()[2] for one in installation.commands("rollout undo")]
    assert undone == ["deployment/session", "deployment/message"]


def test_back_leaves_what_no_upgrade_changed(installation: FakeInstallation) -> None:
    installation.set_revisions({one: 3 for one in SERVICES})
    assert installation.upgrade().returncode == 0
    installation.set_revisions({**installation.revisions(), "session": 3})
    assert installation.upgrade("--back").returncode == 0
    assert [one.split()[2] for one in installation.commands("rollout undo")] == [
        "deployment/dashboard", "deployment/edge", "deployment/auth", "deployment/message",
    ]  # fmt: skip
    again = installation.upgrade("--back")
    assert (again.returncode, "nothing to go back to" in again.stderr) == (1, True)


def test_a_failed_migration_replaces_nothing(installation: FakeInstallation) -> None:
    installation.answer({"get job migrate": (0, "||BackoffLimitExceeded", "")})
    done = installation.upgrade()
    assert (done.returncode, "the migration has not succeeded (BackoffLimitExceeded)" in done.stderr) == (1, True)
    assert not installation.commands("rollout status deployment")


def test_a_migration_that_fails_is_shown_before_it_is_given_up(installation: FakeInstallation) -> None:
    installation.answer({
        "get job migrate": (0, "|1|", ""),
        "get pods --selector=app.kubernetes.io/name=migrate": (0, "pod/migrate-x", ""),
        "logs pod/migrate-x": (0, "Error: the database of auth: password authentication failed", ""),
    })  # fmt: skip
    done = installation.upgrade()
    assert "the migration failed, and is tried again:" in done.stdout
    assert done.stderr.count("password authentication failed") == 2, "at once, and at the end"
    assert "the migration has not succeeded" in done.stderr


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"version": (1, "", "connection refused")}, "no cluster answers: connection refused"),
        ({"version": (0, '"serverVersion": {\n "minor": "26+"', "")}, "Kubernetes 1.26 is too old"),
        ({"get namespace dragoman": (1, "", "")}, "there is no namespace dragoman"),
        ({"get secret dragoman-keys": (1, "", "")}, "Secrets are missing ( dragoman-keys )"),
        ({"get secret dragoman-valkey": (0, "{}", "")}, "Secrets have no certificates ( dragoman-valkey )"),
        ({f"get statefulset {one}": (0, "OrderedReady", "") for one in ("postgres", "valkey")},
         "StatefulSets are to be made anew, their pods stay: "
         "kubectl --namespace dragoman delete statefulset --cascade=orphan postgres valkey"),
        ({"get storageclass": (0, "items: []", "")}, "no storage class is the default"),
        ({"get pods": (0, "", "")}, "no pod k8s-app=kube-dns"),
        ({DRY_RUN: (1, "", "no matches for kind")}, "nothing was applied: no matches for kind"),
    ],
)  # fmt: skip
def test_obstacles_are_named_before_anything_is_applied(
    installation: FakeInstallation, answers: dict[str, tuple[int, str, str]], sentence: str
) -> None:
    installation.answer(answers)
    done = installation.upgrade()
    assert done.returncode == 1
    assert sentence in done.stderr
    changing = [one for one in installation.commands("apply", "delete", "rollout", "create") if "--dry-run" not in one]
    assert changing == []


AUTOSCALING = {"metrics.k8s.io": "metrics-server", "custom.metrics.k8s.io": "prometheus-adapter"}


@pytest.mark.parametrize("answers", ["absent", "away"])
@pytest.mark.parametrize("group", AUTOSCALING)
def test_autoscaling_without_its_numbers_is_rejected(installation: FakeInstallation, group: str, answers: str) -> None:
    """Absent: nobody serves the group; away: its program does not answer."""
    others = "".join(f"{other}/v1beta1\n" for other in AUTOSCALING if other != group)
    absent, away = {"api-versions": (0, f"apps/v1\n{others}", "")}, {f"get /apis/{group}": (1, "", "503")}
    installation.answer(absent if answers == "absent" else away)
    done = installation.upgrade("--check", overlay="prod")
    assert (done.returncode, done.stderr) == (
        1,
        f"upgrade.sh: autoscaling needs the API {group}, which the cluster does not serve: "
        f"install {AUTOSCALING[group]} first\n",
    )
    assert installation.upgrade(overlay="prod").returncode == 1
    assert installation.commands("apply", "create", "delete") == []
    assert installation.upgrade().returncode == 0  # the overlay dev has no autoscalers


def test_an_ingress_that_no_edge_trusts_is_rejected(installation: FakeInstallation) -> None:
    installation.trust("[]")
    done = installation.upgrade("--check", overlay="prod")
    assert (done.returncode, "or all clients have one address" in done.stderr) == (1, True), done.stderr
    assert installation.commands("apply", "create", "delete") == []
    patch = """\
  - target: {kind: Deployment, name: edge}
    patch: |
      - op: add
        path: /spec/template/spec/containers/0/env/-
        value: {name: DRAGOMAN_EDGE__TRUSTED_PROXIES, value: '["fd00::/64"]'}
"""
    overlay = installation.k8s / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text() + patch)
    done = installation.upgrade("--check", overlay="prod")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_network_of_all_addresses_is_rejected(installation: FakeInstallation, network: str) -> None:
    installation.trust(f'["{network}"]')
    done = installation.upgrade(overlay="prod")
    assert (done.returncode, "lets each client forge its own" in done.stderr) == (1, True), done.stderr


def test_keda_serves_its_numbers_itself(installation: FakeInstallation) -> None:
    overlay = installation.k8s / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("components/autoscaling\n", "components/autoscaling-keda\n"))
    installation.answer({"api-versions": (0, "metrics.k8s.io/v1beta1\n", "")})
    assert installation.upgrade(overlay="prod").returncode == 0
    installation.answer({"api-versions": (0, "apps/v1\n", "")})
    assert "install metrics-server first" in installation.upgrade(overlay="prod").stderr


def test_a_check_needs_no_namespace_and_applies_nothing(installation: FakeInstallation) -> None:
    installation.answer({"get namespace": (1, "", ""), "get secret": (1, "", "")})
    assert installation.upgrade("--check").returncode == 0
    assert installation.commands("apply", "delete", "rollout", "create") == []
    installation.answer({"version": (0, '"serverVersion": {\n "minor": "26"', "")})
    done = installation.upgrade("--check")
    assert (done.returncode, "Kubernetes 1.26 is too old" in done.stderr) == (1, True)


def test_an_image_that_no_node_gets_is_reported(installation: FakeInstallation) -> None:
    reason = 'Back-off pulling image "dragoman:9"'
    installation.answer({
        "get job migrate": (0, "||DeadlineExceeded", ""),
        "get pods --selector=app.kubernetes.io/name=migrate": (0, reason, ""),
    })  # fmt: skip
    done = installation.upgrade("9")
    assert (done.returncode, reason in done.stderr) == (1, True)


def test_a_changed_secret_replaces_the_pods_that_use_it(installation: FakeInstallation) -> None:
    assert installation.upgrade().returncode == 0
    before = installation.secret_hashes()
    assert set(before) == {*SERVICES, "nats", "valkey", "postgres", "s3"}
    installation.answer({"get secret dragoman-keys": (0, '{"a": "c"}', "")})
    assert installation.upgrade().returncode == 0
    after = installation.secret_hashes()
    assert {name for name in before if after[name] != before[name]} == {"auth"}


def test_an_optional_secret_may_be_missing_and_replaces_its_pods_when_it_comes(installation: FakeInstallation) -> None:
    installation.answer({"get secret dragoman-mail": (1, "", ""), "get secret dragoman-bucket": (1, "", "")})
    assert installation.upgrade(overlay="prod").returncode == 0
    before = installation.secret_hashes()
    installation.answer({"get secret dragoman-bucket": (1, "", "")})
    assert installation.upgrade(overlay="prod").returncode == 0
    after = installation.secret_hashes()
    assert {name for name in before if after[name] != before[name]} == {"auth"}


@pytest.mark.parametrize("component", ["autoscaling", "autoscaling-keda"])
def test_autoscaled_deployments_keep_their_number(component: str, installation: FakeInstallation) -> None:
    overlay = installation.k8s / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("components/autoscaling\n", f"components/{component}\n"))
    assert installation.upgrade(overlay="prod").returncode == 0
    first = {name: one["spec"]["replicas"] for name, one in installation.applied("Deployment").items()}
    assert first == {"auth": 2, "session": 2, "message": 2, "edge": 2, "dashboard": 1}
    assert installation.upgrade(overlay="prod").returncode == 0
    later = {name: one["spec"]["replicas"] for name, one in installation.applied("Deployment").items()}
    assert later == {"auth": 2, "session": 2, "message": 7, "edge": 7, "dashboard": 1}


def test_autoscaled_deployments_without_pods_begin_with_their_minimum(installation: FakeInstallation) -> None:
    installation.answer({"get deployment edge": (0, "0", "")})
    assert installation.upgrade(overlay="prod").returncode == 0
    assert installation.applied("Deployment")["edge"]["spec"]["replicas"] == 2


def test_the_image_may_be_named_by_its_digest(installation: FakeInstallation) -> None:
    by_digest = "0.2.0@sha256:" + "a" * 64
    assert installation.upgrade(by_digest).returncode == 0
    (container,) = installation.applied("Deployment")["auth"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"dragoman:{by_digest}"


@pytest.mark.parametrize("digest", ["", "@sha256:" + "b" * 64])
def test_an_image_of_a_registry_gets_the_tag(digest: str, installation: FakeInstallation) -> None:
    overlay = installation.k8s / "overlays" / "example" / "kustomization.yaml"
    text = overlay.read_text()
    name = text.split("name: dragoman, newName: ")[1].split(",")[0].replace("registry.example", "registry.example:5000")
    overlay.write_text(text.replace("registry.example", "registry.example:5000").replace("0.1.0", f"0.1.0{digest}"))
    assert installation.upgrade("0.2.0", overlay="example").returncode == 0
    ours = [*installation.applied("Deployment").values(), *installation.applied("Job").values()]
    images = {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in ours}
    assert images == {f"{name}:0.2.0"}


def test_openshift_needs_no_kube_dns(installation: FakeInstallation) -> None:
    overlay = installation.k8s / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("patches:", "  - ../../components/openshift\npatches:"))
    installation.answer({"get pods": (0, "", "")})
    done = installation.upgrade(overlay="prod")
    assert done.returncode == 0, done.stderr
    assert "runAsUser" not in installation.applied("Deployment")["auth"]["spec"]["template"]["spec"]["securityContext"]


@pytest.mark.parametrize("issuer", ["", "issuer", "cluster-issuer"])
def test_a_certificate_that_nobody_makes_must_be_there(installation: FakeInstallation, issuer: str) -> None:
    overlay = installation.k8s / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("components/ingress\n", "components/ingress-tls\n"))
    if issuer:
        ingress = installation.k8s / "components" / "ingress" / "ingress.yaml"
        text = ingress.read_text()
        ingress.write_text(text.replace("annotations:\n", f"annotations:\n    cert-manager.io/{issuer}: own\n"))
    installation.answer({"get secret chat-tls": (1, "", "")})
    done = installation.upgrade(overlay="prod")
    assert (done.returncode, "create secret tls chat-tls" in done.stderr) == ((0, False) if issuer else (1, True))
    installation.answer({"api-versions": (0, "metrics.k8s.io/v1beta1\ncustom.metrics.k8s.io/v1beta1\n", "")})
    done = installation.upgrade(overlay="prod")
    assert (done.returncode, "install cert-manager first" in done.stderr) == ((1, True) if issuer else (0, False))
    installation.answer({})
    assert installation.upgrade(overlay="prod").returncode == 0
    assert installation.applied("Ingress")["dragoman"]["spec"]["tls"][0]["secretName"] == "chat-tls"
