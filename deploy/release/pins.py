"""Base images by digest: `python -m deploy.release.pins [--mirror URL] [--check | --remove]`.

A publisher runs it for each release: it asks the registry of each image that the Dockerfile, Compose, the manifests and
the chart name by a tag, and writes `NAME:TAG@sha256:…` there. Nothing is written unless all are known.
"""

import hashlib
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import click

ROOT = Path(__file__).parents[2]
_FILES = ("Dockerfile", "docker-compose.yml", "deploy/k8s/**/*.yaml", "deploy/helm/dragoman/values.yaml")
_REFERENCE = re.compile(
    r"(?P<before>^ARG PYTHON=|_IMAGE:-|\bimage: (?:&\w+ )?)(?P<image>[a-z0-9][\w./:-]*:\w[\w.-]*)"
    r"(?P<digest>@sha256:[0-9a-f]{64})?(?=[}\s]|$)",
    re.MULTILINE,
)
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""An index first: its digest is that of the image for all platforms."""
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_SECONDS = 30.0


class RegistryError(Exception):
    pass


class Registries:
    """The registries of images, or one mirror of all of them."""

    def __init__(self, mirror: str = "") -> None:
        self._mirror = mirror.rstrip("/")

    def digest(self, image: str) -> str:
        """`sha256:…` of what NAME:TAG is now. Raises RegistryError."""
        base, repository, tag = self._address(image)
        try:
            content, named = self._manifest(f"{base}/v2/{repository}/manifests/{tag}")
        except OSError as error:
            raise RegistryError(f"{image}: {error}") from error
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if named not in ("", digest):
            raise RegistryError(f"{image}: the registry names another digest than that of what it sends")
        return digest

    def _address(self, image: str) -> tuple[str, str, str]:
        name, _, tag = image.rpartition(":")
        host, _, rest = name.partition("/")
        if not rest or not re.search(r"[.:]|^localhost$", host):
            host, rest = "registry-1.docker.io", name if rest else f"library/{name}"
        return self._mirror or f"https://{host}", rest, tag

    def _manifest(self, url: str) -> tuple[bytes, str]:
        try:
            return _read(url, {"Accept": _MANIFESTS})
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or not challenge.startswith("Bearer "):
                raise
        return _read(url, {"Accept": _MANIFESTS, "Authorization": f"Bearer {_token(challenge)}"})


def _token(challenge: str) -> str:
    """The right to read, which registries give to anybody for a public image."""
    fields = dict(_CHALLENGE.findall(challenge))
    query = urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
    answer = json.loads(_read(f"{fields['realm']}?{query}", {})[0])
    return str(answer.get("token") or answer["access_token"])


def _read(url: str, headers: dict[str, str]) -> tuple[bytes, str]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  https, or what the operator has named
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
            return reply.read(), reply.headers.get("Docker-Content-Digest", "")
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise


def references(root: Path) -> Iterator[tuple[Path, str, str]]:
    """(file, image, its digest or "") of each place that names a base image."""
    for path in _files(root):
        for found in _REFERENCE.finditer(path.read_text()):
            yield path, found["image"], found["digest"] or ""


def write(root: Path, digest: Callable[[str], str]) -> dict[str, str]:
    """Pins each image to its digest, or to none if that is "". Returns the digests. Raises what `digest` raises, and
    has then written nothing."""
    digests = {image: digest(image) for image in sorted({image for _, image, _ in references(root)})}

    def pinned(found: "re.Match[str]") -> str:
        by_digest = digests[found["image"]]
        return found["before"] + found["image"] + (f"@{by_digest}" if by_digest else "")

    for path in _files(root):
        text = path.read_text()
        if (changed := _REFERENCE.sub(pinned, text)) != text:
            path.write_text(changed)
    return digests


def _files(root: Path) -> Iterator[Path]:
    for pattern in _FILES:
        yield from sorted(root.glob(pattern))


@click.command(help="Pins base images to the digests that their tags have now.")
@click.option("--mirror", default="", metavar="URL", help="Asks this registry instead of those that the images name.")
@click.option("--check", is_flag=True, help="Only reports the images that have no digest (exit status 1).")
@click.option("--remove", is_flag=True, help="Leaves the tags alone.")
def main(mirror: str, check: bool, remove: bool) -> None:
    if check:
        unpinned = [f"{path.relative_to(ROOT)}: {image}" for path, image, digest in references(ROOT) if not digest]
        click.echo("\n".join(unpinned) or "every base image has a digest")
        sys.exit(1 if unpinned else 0)
    try:
        digests = write(ROOT, (lambda _: "") if remove else Registries(mirror).digest)
    except RegistryError as error:
        sys.exit(f"pins: {error}; nothing was written")
    for image, digest in digests.items():
        click.echo(f"{image} {digest}".strip())


if __name__ == "__main__":
    main()
