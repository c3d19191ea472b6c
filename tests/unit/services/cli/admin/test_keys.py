"""Tests the commands on signing keys, which are files."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.main import main
from services.auth.adapters.signing_keys import ensure_keys

OLD = "20200101000000-0a0a0a0a"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with an old key."""
    ensure_keys(tmp_path / "keys")
    [first] = (tmp_path / "keys").glob("*.pem")
    first.rename(first.with_stem(OLD))
    return tmp_path


def keys(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["admin", "keys", *arguments, "--data", str(directory)], input="y\n")


def test_keys_are_listed_with_their_use(directory: Path) -> None:
    assert keys(directory, "list").output.splitlines()[1:] == [f"{OLD}  2020-01-01 00:00:00 UTC  signs"]
    keys(directory, "rotate")
    old, new = keys(directory, "list").output.splitlines()[1:]
    assert old.startswith(f"{OLD}  2020-01-01 00:00:00 UTC  verifies, needed until 20")
    assert new.endswith("  signs")


def test_key_in_use_is_retired_only_with_now(directory: Path) -> None:
    keys(directory, "rotate")
    rejected = keys(directory, "retire", OLD)
    assert rejected.exit_code == 1
    assert "Wait until then, or void these tokens by --now" in rejected.output
    assert keys(directory, "retire", OLD, "--now").exit_code == 0
    assert OLD not in keys(directory, "list").output


def test_unused_key_is_retired(directory: Path) -> None:
    path = directory / "keys" / f"{OLD}.pem"
    path.with_stem("20190101000000-0b0b0b0b").write_bytes(path.read_bytes())
    assert keys(directory, "retire", "20190101000000-0b0b0b0b").exit_code == 0


def test_error_is_one_sentence(directory: Path) -> None:
    for key, sentence in (
        (OLD, f"the key {OLD} signs: make another one first"),
        ("nothing", "there is no key nothing"),
    ):
        result = keys(directory, "retire", key)
        assert (result.exit_code, result.output) == (1, f"Error: {sentence}. `dragoman admin keys list` shows them\n")


def test_error_without_keys(tmp_path: Path) -> None:
    for arguments in (["list"], ["retire", OLD]):
        result = keys(tmp_path, *arguments)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert f"there are no keys in {tmp_path / 'keys'}. Name the installation by --data" in result.output
    assert keys(tmp_path, "rotate").exit_code == 1
