"""Base images are pinned to what a registry says, in all places at once, or not at all."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from click.testing import CliRunner, Result

from deploy.release import pins
from deploy.release.pins import Registries, RegistryError, references
from tests.deploy.manifests import INSTALLATIONS, containers, needs_renderer, of_kind
from tests.support.commands import ROOT
from tests.support.http_server import QuietHandler, serving


class FakeRegistry:
    """Has every image, and gives a token to anybody who wants to read."""

    def __init__(self) -> None:
        self.version = "one"
        self.missing = ""
        self.named_digest: str | None = None
        self.url = ""
        self.requested: list[str] = []

    def manifest(self, path: str) -> bytes:
        return json.dumps({"path": path, "version": self.version}).encode()

    def digest(self, repository: str, tag: str) -> str:
        return f"sha256:{hashlib.sha256(self.manifest(f'/v2/{repository}/manifests/{tag}')).hexdigest()}"


def handler(registry: FakeRegistry) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/token":
                self.respond(200, json.dumps({"token": query}).encode(), {})
                return
            repository = path.split("/manifests/")[0].removeprefix("/v2/")
            registry.requested.append(path)
            scope = quote(f"repository:{repository}:pull", safe="")
            if self.headers.get("Authorization") != f"Bearer service=fake&scope={scope}":
                challenge = f'Bearer realm="{registry.url}/token",service="fake",scope="repository:{repository}:pull"'
                self.respond(401, b"", {"WWW-Authenticate": challenge})
            elif repository == registry.missing:
                self.respond(404, b"", {})
            else:
                content = registry.manifest(path)
                named = registry.named_digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
                self.respond(200, content, {"Docker-Content-Digest": named})

    return Handler


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    registry = FakeRegistry()
    with serving(handler(registry)) as registry.url:
        yield registry


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that name images."""
    for name in ("Dockerfile", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    return tmp_path


def texts(checkout: Path) -> dict[Path, str]:
    return {path: path.read_text() for path, _, _ in references(checkout)}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(pins.main, arguments)


def test_every_image_of_compose_and_of_the_manifests_is_a_reference() -> None:
    named = {image for _, image, _ in references(ROOT)}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {one["image"].partition(":-")[2].rstrip("}").partition("@")[0] for one in compose.values()}
    assert {one for one in images if ":" in one} <= named
    assert any(one.startswith("python:") for one in named)
    assert not [one for one in named if one.startswith("dragoman")]


@needs_renderer
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_every_container_beside_our_own_is_a_reference(installation: str) -> None:
    named = {image for _, image, _ in references(ROOT)}
    workloads = of_kind(installation, "Deployment", "StatefulSet", "Job", "CronJob")
    images = {one["image"].partition("@")[0] for workload in workloads for one in containers(workload)}
    assert {one for one in images if not one.startswith("dragoman:")} <= named


def test_an_image_gets_the_same_digest_in_all_places(checkout: Path, registry: FakeRegistry) -> None:
    assert run("--check").exit_code == 1
    done = run("--mirror", registry.url)
    assert done.exit_code == 0, done.output
    assert {digest for _, image, digest in references(checkout) if image == "postgres:17-alpine"} == {
        f"@{registry.digest('library/postgres', '17-alpine')}"
    }
    assert f"prom/prometheus:v3.5.0 {registry.digest('prom/prometheus', 'v3.5.0')}" in done.output
    assert run("--check").exit_code == 0


def test_a_later_run_renews_the_digests_and_remove_leaves_tags(checkout: Path, registry: FakeRegistry) -> None:
    before = texts(checkout)
    run("--mirror", registry.url)
    registry.version = "two"
    run("--mirror", registry.url)
    assert {digest for _, image, digest in references(checkout) if image == "nats:2.12-alpine"} == {
        f"@{registry.digest('library/nats', '2.12-alpine')}"
    }
    assert run("--remove").exit_code == 0
    assert texts(checkout) == before


def test_an_image_that_a_registry_lacks_changes_nothing(checkout: Path, registry: FakeRegistry) -> None:
    before = texts(checkout)
    registry.missing = "library/postgres"
    done = run("--mirror", registry.url)
    assert done.exit_code == 1
    assert "postgres:17-alpine: HTTP Error 404" in done.output
    assert texts(checkout) == before


def test_a_digest_that_is_not_that_of_the_content_is_rejected(registry: FakeRegistry) -> None:
    registry.named_digest = "sha256:" + "0" * 64
    with pytest.raises(RegistryError, match="another digest"):
        Registries(registry.url).digest("nats:2.12-alpine")


@pytest.mark.parametrize(
    ("image", "address"),
    [
        ("nats:2.12", ("https://registry-1.docker.io", "library/nats", "2.12")),
        ("prom/prometheus:v3", ("https://registry-1.docker.io", "prom/prometheus", "v3")),
        ("quay.io/a/b:1", ("https://quay.io", "a/b", "1")),
        ("localhost:5000/b:1", ("https://localhost:5000", "b", "1")),
    ],
)
def test_an_image_names_its_registry(image: str, address: tuple[str, str, str]) -> None:
    assert Registries()._address(image) == address
