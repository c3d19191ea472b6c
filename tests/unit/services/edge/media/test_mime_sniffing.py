import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.identicons import avatar_png
from services.edge.media.mime_sniffing import PICTURES, UNKNOWN, sniff


@pytest.mark.parametrize(
    ("head", "mime", "extension"),
    [
        (avatar_png("account", 1), "image/png", ".png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg", ".jpg"),
        (b"GIF87a\x01\x00", "image/gif", ".gif"),
        (b"GIF89a\x01\x00", "image/gif", ".gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp", ".webp"),
        (b"%PDF-1.7\n", "application/pdf", ".pdf"),
        (b"PK\x03\x04\x14", "application/zip", ".zip"),
        (b"\x1f\x8b\x08\x00", "application/gzip", ".gz"),
        (b"OggS\x00\x02", "application/ogg", ".ogg"),
        (b"ID3\x04\x00", "audio/mpeg", ".mp3"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", ".mp4"),
    ],
)
def test_known_types(head: bytes, mime: str, extension: str) -> None:
    assert sniff(head) == (mime, extension)
    assert (mime in PICTURES) == mime.startswith("image/")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"\xef\xbb\xbf<html>",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"GIF88a",
        b" \x89PNG\r\n\x1a\n",
        b"plain text",
    ],
)
def test_other_content_is_unknown(head: bytes) -> None:
    assert sniff(head) is UNKNOWN


@given(st.binary())
def test_no_content_is_an_active_type(head: bytes) -> None:
    assert not sniff(head).mime.startswith(("text/", "image/svg", "application/x", "application/j"))
