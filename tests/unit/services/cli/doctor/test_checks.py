"""Tests which networks of trusted proxies cannot be right."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.cli.certificates import ensure_authority
from services.cli.doctor.command import certificate, trusted_proxies
from shared.settings.edge import EdgeSettings

HTTPS = "https://chat.example"


@pytest.mark.parametrize(
    ("networks", "public_url", "certificate", "good", "words"),
    [
        ([], "", "", True, "no proxy is trusted"),
        ([], "http://chat.example", "", True, "no proxy is trusted"),
        ([], HTTPS, "chat.pem", True, "no proxy is trusted"),
        ([], HTTPS, "", False, "name the proxy in edge.trusted_proxies"),
        (["10.0.0.0/8", "::1"], HTTPS, "", True, "10.0.0.0/8, ::1 may set clients' addresses"),
        (["10.0.0.0/8", "0.0.0.0/0"], HTTPS, "", False, "covers all addresses (0.0.0.0/0)"),
        (["0.0.0.0/1", "128.0.0.0/1"], "", "", False, "covers all addresses (0.0.0.0/0)"),
        (["::/0"], "", "chat.pem", False, "covers all addresses (::/0)"),
    ],
)
def test_trusted_proxies(networks: list[str], public_url: str, certificate: str, good: bool, words: str) -> None:
    found = trusted_proxies(EdgeSettings(trusted_proxies=networks, public_url=public_url, tls_certificate=certificate))
    assert (found.what, found.good) == ("proxies", good)
    assert words in found.text


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-2, "is not valid before"),
        (0, "is valid for at least two weeks"),
        (3640, "expires on 20"),
        (3651, "expired on 20"),
    ],
)
def test_a_certificate_that_ends(tmp_path: Path, days: int, words: str) -> None:
    """The certificates of an installation are valid for ten years."""
    authority = ensure_authority(tmp_path)
    assert authority is not None
    authority.ensure(tmp_path, ("chat.example",))
    found = certificate(tmp_path / "server.crt", datetime.now(UTC) + timedelta(days=days))
    assert (found.good, words in found.text) == (days == 0, True), found.text
