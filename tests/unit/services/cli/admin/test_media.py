"""The files of an installation are found in their store, and removed."""

import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from dragoman.main import main
from services.edge.media.store import MediaRecord, MediaUse
from shared.contract.ids import AccountId

ANN, BOB = AccountId(7), AccountId(8)
DAY_MS = 86_400_000
CONTENTS = {"a": b"one", "b": b"one", "c": b"two"}
OWNERS = {"a": ANN, "b": BOB, "c": ANN}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with three files. Two have the same content, and the third is old."""
    for kind in ("records", "blobs"):
        (tmp_path / "media" / kind).mkdir(parents=True)
    for name, content in CONTENTS.items():
        digest = sha256(content).hexdigest()
        (tmp_path / "media" / "blobs" / digest).write_bytes(content)
        record = MediaRecord(
            name * 32, f"{name}.png", len(content), digest, "image/png",
            account=OWNERS[name], created=(1 if name == "c" else 20_000) * DAY_MS, use=MediaUse.POSTED,
        )  # fmt: skip
        (tmp_path / "media" / "records" / record.id).write_bytes(msgspec.json.encode(record))
    return tmp_path


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["admin", "media", *arguments, "--data", str(directory)])


def found(directory: Path, *arguments: str) -> str:
    """Returns the first letter of each file that was found."""
    shown = run(directory, "find", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    return "".join(one["id"][0] for one in json.loads(shown.output))


def test_files_are_found_by_address_account_content_and_age(directory: Path) -> None:
    assert found(directory) == "cab"
    assert found(directory, "a" * 32) == found(directory, f"http://chat.example/media/{'a' * 32}") == "a"
    assert found(directory, "--account", str(ANN)) == "ca"
    assert found(directory, "--hash", sha256(b"one").hexdigest().upper()) == "ab"
    assert found(directory, "--before", "2000-01-01") == "c"
    lines = run(directory, "find", "--account", str(BOB)).output.splitlines()
    assert lines[1].split()[:3] == ["b" * 32, "0000000008", "2024-10-04"]


def test_a_removed_file_takes_its_content_along_unless_another_address_has_it(directory: Path) -> None:
    blobs = directory / "media" / "blobs"
    assert run(directory, "remove", "--account", str(ANN), "--yes").output == "removed: 2 addresses, 1 contents\n"
    assert [path.read_bytes() for path in blobs.iterdir()] == [b"one"]
    assert run(directory, "remove", "b" * 32, "--yes").output == "removed: 1 addresses, 1 contents\n"
    assert not list(blobs.iterdir())
    assert "no such files" in run(directory, "remove", "b" * 32, "--yes").output


def test_nothing_is_removed_without_a_choice_or_a_yes(directory: Path) -> None:
    assert run(directory, "remove", "--yes").exit_code == 2
    assert run(directory, "remove", "a" * 32).exit_code == 1, "nobody confirms"
    assert run(directory, "remove", "nonsense", "--yes").exit_code != 0
    assert run(directory, "remove", "--before", "soon", "--yes").exit_code != 0
    assert found(directory) == "cab"


@pytest.mark.parametrize("wrong", [["--before", ""], ["--hash", ""], [""], ["--before", "1970-01-01"]])
def test_an_empty_value_does_not_select_more(directory: Path, wrong: list[str]) -> None:
    run(directory, "remove", "--account", str(ANN), *wrong, "--yes")
    assert found(directory) == "cab"
