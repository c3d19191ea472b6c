import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.identicons import avatar_png
from services.edge.media.mime_sniffing import PICTURES, UNKNOWN, media_kind, sniff


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
    ("brands", "mime", "extension"),
    [
        (b"mp42 mp42isom", "video/mp4", ".mp4"), (b"isom isomiso2avc1mp41", "video/mp4", ".mp4"),
        (b"XAVC XAVCmp42iso2", "video/mp4", ".mp4"), (b"M4V  M4V mp42isom", "video/mp4", ".mp4"),
        (b"M4A  M4A mp42isom", "audio/mp4", ".m4a"), (b"qt   qt  ", "video/quicktime", ".mov"),
        (b"3gp4 isom3gp4", "video/3gpp", ".3gp"), (b"heic mif1heic", "image/heic", ".heic"),
        (b"mif1 mif1heicmiaf", "image/heic", ".heic"), (b"msf1 hevcmif1msf1", "image/heic", ".heic"),
        (b"avif avifmif1miafMA1B", "image/avif", ".avif"), (b"mif1 mif1avifmiaf", "image/avif", ".avif"),
        (b"mif1 mif1miaf", "image/heif", ".heif"), (b"crx  crx isom", "image/x-canon-cr3", ".cr3"),
        (b"none none", "application/octet-stream", ""),
    ],
)  # fmt: skip
def test_a_brand_of_iso_media_names_the_type(brands: bytes, mime: str, extension: str) -> None:
    """The cases include photographs and voice messages of phones. Messages show all of these types as files."""
    box = brands[:4] + b"\x00\x00\x02\x00" + brands[5:]
    head = (8 + len(box)).to_bytes(4, "big") + b"ftyp" + box + b"\x00\x00\x00\x08freeavif"
    assert sniff(head) == (mime, extension)
    assert media_kind(head) == "file"


@pytest.mark.parametrize(
    ("document", "mime", "extension"),
    [
        (b"webm", "video/webm", ".webm"), (b"matroska", "video/matroska", ".mkv"), (b"webm\0\0", "video/webm", ".webm"),
        (b"other", "application/octet-stream", ""), (b"", "application/octet-stream", ""),
    ],
)  # fmt: skip
def test_web_m_and_matroska(document: bytes, mime: str, extension: str) -> None:
    head = bytes.fromhex("1a45dfa3 9f 4286 81 01 42f7 81 01 42f2 81 04 42f3 81 08 4282") + bytes([0x80 | len(document)])
    assert sniff(head + document + bytes.fromhex("4287 81 04")) == (mime, extension)
    assert sniff(head[:-1]) is UNKNOWN


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


@given(st.sampled_from([b"", b"\0\0\0\x20ftyp", b"\x1a\x45\xdf\xa3"]), st.binary())
def test_no_content_is_an_active_type(signature: bytes, rest: bytes) -> None:
    found = sniff(signature + rest)
    assert not found.mime.startswith(("text/", "image/svg", "application/x", "application/j"))
