"""Tests the headers of tus, the protocol of resumable uploads."""

from base64 import b64encode
from hashlib import sha1

import pytest

from services.edge.http import resumable_uploads
from services.edge.http.resumable_uploads import Checksum, Metadata
from services.edge.http.uploads import BadUpload


def encoded(value: bytes) -> str:
    return b64encode(value).decode()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", ""),
        (f"filename {encoded('猫.png'.encode())}", "猫.png"),
        (f"filetype {encoded(b'image/png')}, filename {encoded(b'a.png')},is_private", "a.png"),
        (f"name {encoded(b'other.png')},filename {encoded(b'a.png')}", "a.png"),
        (f"name {encoded(b'only.png')}", "only.png"),
        ("filename", ""),
        ("filename ", ""),
        (f"filename {encoded(bytes([0xFF]))}", "\ufffd"),
    ],
)
def test_the_name_of_a_file(header: str, name: str) -> None:
    assert resumable_uploads.parse_metadata({"upload-metadata": header}) == Metadata(header.strip(), name)


@pytest.mark.parametrize(
    "header",
    [
        "filename a",
        "filename YQ==,filename Yg==",
        "filename YQ== Yg==",
        ",",
        "filename !!!!",
        "n\u00e4me YQ==",
        "a\tb YQ==",
        "filename " + "A" * 4096,
    ],
)
def test_metadata_that_is_not_of_the_form_or_too_long(header: str) -> None:
    with pytest.raises(BadUpload) as caught:
        resumable_uploads.parse_metadata({"upload-metadata": header})
    assert caught.value.status == (413 if len(header) > 4096 else 400)


def test_a_checksum() -> None:
    digest = sha1(b"hello", usedforsecurity=False).digest()
    assert resumable_uploads.parse_checksum({}) is None
    assert resumable_uploads.parse_checksum({"upload-checksum": f"sha1 {encoded(digest)}"}) == Checksum("sha1", digest)


@pytest.mark.parametrize(
    "header", ["", "sha1", "sha1 ####", "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha256 YQ==", "SHA1 YQ=="]
)
def test_a_checksum_that_is_not_of_the_form(header: str) -> None:
    with pytest.raises(BadUpload) as caught:
        resumable_uploads.parse_checksum({"upload-checksum": header})
    assert caught.value.status == 400


@pytest.mark.parametrize("value", [None, "", "-1", "+1", "1.0", "0x1", "1" * 19, "１"])
def test_a_number_of_bytes(value: str | None) -> None:
    for parse, name in (
        (resumable_uploads.parse_length, "upload-length"),
        (resumable_uploads.parse_offset, "upload-offset"),
    ):
        with pytest.raises(BadUpload) as caught:
            parse({} if value is None else {name: value})
        assert caught.value.status == 400


def test_a_file_may_be_empty() -> None:
    assert resumable_uploads.parse_length({"upload-length": "0"}) == 0


def test_the_time_of_expiry() -> None:
    assert resumable_uploads.expires(1_403_712_000_000) == {"Upload-Expires": "Wed, 25 Jun 2014 16:00:00 GMT"}
