"""Tests the commands of a release with a fake cosign, the program that signs images."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT

IMAGE = "registry.example/dragoman@sha256:" + "a" * 64


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Returns the arguments of each call of cosign, one call on a line."""
    calls = tmp_path / "calls"
    calls.touch()
    cosign = tmp_path / "bin" / "cosign"
    cosign.parent.mkdir()
    cosign.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    cosign.chmod(0o755)
    return calls


def supply(calls: Path, *arguments: str) -> int:
    environment = {**os.environ, "PATH": f"{calls.parent / 'bin'}:{os.environ['PATH']}"}
    command = [str(ROOT / "deploy" / "release" / "supply.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_the_sbom_lists_each_locked_package_with_its_hashes(tmp_path: Path) -> None:
    """The package that generates the SBOM comes from a package index."""
    sbom = tmp_path / "sbom.json"
    command: list[str | Path] = [ROOT / "deploy" / "release" / "supply.sh", "sbom", sbom]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution found" in done.stderr:
        pytest.skip("no index of packages is in reach")
    assert done.returncode == 0, done.stderr
    bill = json.loads(sbom.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    about = bill["metadata"]["component"]
    assert (about["name"], about["version"]) == ("dragoman", "0.1.0")
    lock = (ROOT / "deploy" / "image" / "run.lock").read_text()
    locked = {name: version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE)}
    assert {one["name"]: one["version"] for one in bill["components"]} == locked
    for one in bill["components"]:
        assert any(reference.get("hashes") for reference in one["externalReferences"]), one["name"]


def test_an_image_is_signed_and_its_sbom_attested(calls: Path) -> None:
    assert supply(calls, "sign", IMAGE, "sbom.json") == 0
    assert calls.read_text().splitlines() == [
        f"sign --yes {IMAGE}",
        f"attest --yes --type cyclonedx --predicate sbom.json {IMAGE}",
    ]


def test_an_image_is_built_pushed_signed_and_verified(calls: Path) -> None:
    docker = calls.parent / "bin" / "docker"
    digest = IMAGE.partition("@")[2]
    metadata = f'{{\n  "containerimage.digest": "{digest}"\n}}'
    docker.write_text(f"#!/bin/sh\necho \"docker $*\" >> {calls}\nshift 5\necho '{metadata}' > $1\n")
    docker.chmod(0o755)
    assert supply(calls, "image", "Registry.example/dragoman:0.1.0", "sbom.json", "ci", "https://issuer.example") == 0
    built, *signed = calls.read_text().splitlines()
    assert built.startswith("docker buildx build --provenance=mode=max --push --metadata-file ")
    assert built.endswith("--tag registry.example/dragoman:0.1.0 .")
    assert [line.split()[0] for line in signed] == ["sign", "attest", "verify", "verify-attestation"]
    assert all(IMAGE in line for line in signed)
    assert "--certificate-identity ci --certificate-oidc-issuer https://issuer.example" in signed[2]


def test_a_tag_is_that_of_the_version_of_all_packages(calls: Path) -> None:
    assert [supply(calls, "version", tag) for tag in ("v0.1.0", "0.1.0", "v0.2.0")] == [0, 1, 1]


def test_a_signature_is_verified_for_a_signer(calls: Path) -> None:
    assert supply(calls, "verify", IMAGE, "--certificate-identity", "ci") == 0
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["verify", "verify-attestation"]
    assert "--certificate-identity ci" in calls.read_text()


@pytest.mark.parametrize("image", ["registry.example/dragoman:0.1.0", "registry.example/dragoman@sha256:abc"])
def test_only_an_image_by_its_digest_is_signed(calls: Path, image: str) -> None:
    assert supply(calls, "sign", image, "sbom.json") == 2
    assert supply(calls, "verify", image) == 2
    assert calls.read_text() == ""


def test_a_wrong_use_names_the_commands(calls: Path) -> None:
    assert [supply(calls), supply(calls, "sign"), supply(calls, "sbom")] == [2, 2, 2]
