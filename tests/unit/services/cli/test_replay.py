"""Tests `dragoman replay` with files: complete recordings, truncated ones, and those of other versions."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dragoman.main import main
from services.cli import record_file
from services.cli.replay import comparable
from shared.contract.ids import NO_ACCOUNT, NodeId

OPENING = (
    '{"event":"open","at":1,"connection":4,"dialect":"ourchat-v0","base_url":"http://chat.example","query":"",'
    '"binary":true,"language":"zh"}'
)
FRAME = '{"event":"frame","at":%d,"connection":4,"by":"%s","size":9,"text":%s}'
EARLY = FRAME % (2, "client", '"{\\"code\\":0,\\"data\\":{\\"cid\\":5,\\"sender_id\\":1,\\"msg\\":\\"hi\\"}}"')
ERROR = FRAME % (3, "server", '"{\\"code\\":18,\\"data\\":{\\"details\\":\\"log in first\\"}}"')


def write(path: Path, *lines: str) -> bytes:
    header = record_file.RecordHeader(
        version=record_file.VERSION,
        dragoman="0.1.0",
        id="r1",
        account=NO_ACCOUNT,
        dialect="ourchat-v0",
        edges={NodeId("edge-1"): "stopped"},
    )
    content = record_file.encode(header, {NodeId("edge-1"): lines, NodeId("edge-2"): []})
    path.write_bytes(content)
    return content


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["replay", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_record_is_decoded_and_encoded(tmp_path: Path) -> None:
    write(path := tmp_path / "a.record", OPENING, EARLY, ERROR)
    status, output = run(path)
    assert status == 0
    assert "#1 opens, ourchat-v0" in output
    assert "cannot be decoded, unauthenticated: log in first" in output
    assert "!" not in output


def test_a_reply_that_the_record_lacks_is_a_difference(tmp_path: Path) -> None:
    write(path := tmp_path / "a.record", OPENING, EARLY)
    status, output = run(path)
    assert status == 1
    assert "#1 ! this server's reply is not in the record" in output


@pytest.mark.parametrize("cut", [1, 20, -40])
def test_a_truncated_record_is_rejected_with_advice(tmp_path: Path, cut: int) -> None:
    content = write(path := tmp_path / "a.record", OPENING, EARLY, ERROR)
    path.write_bytes(content[:-cut] if cut > 0 else b"\n".join(content.splitlines()[:-2]))
    assert run(path)[0] == (0 if cut == 1 else 2)
    if cut != 1:
        assert "is truncated or changed. Copy it again" in run(path)[1]


def test_a_record_of_another_version_names_the_dragoman_that_plays_it(tmp_path: Path) -> None:
    content = write(path := tmp_path / "a.record", OPENING)
    path.write_bytes(
        content.replace(b'"dragoman_record":1,"dragoman":"0.1.0"', b'"dragoman_record":2,"dragoman":"9.9"')
    )
    status, output = run(path)
    assert status == 2
    assert "a record of version 2" in output
    assert "Replay it with dragoman 9.9" in output


def test_what_is_no_record_and_what_is_missing(tmp_path: Path) -> None:
    (path := tmp_path / "a.record").write_bytes(b"hello\n")
    assert "is not a record" in run(path)[1]
    assert "cannot be read" in run(tmp_path / "none")[1]
    write(path, OPENING.replace("ourchat-v0", "telex"))
    assert "of the dialect telex" in run(path)[1]


def test_frames_compare_without_secrets_and_long_numbers() -> None:
    token = '{"token":"eyJ-secret-2.masked.masked","time":1724400001}'
    assert comparable(token) == '{"token":"<secret>","time":#}'
    assert comparable('{"status":1}') != comparable('{"status":0}')
