import pytest

from services.edge.dialects.text_fallback import only_text, readable_size, render_message
from shared.contract.model import Emoji, Image, Media, Segment, Text

MEDIA = Media("00ff", "cat.png", 1536, "ab", "image/png")


@pytest.mark.parametrize("text", ["", "a|b\n", "猫"])
def test_a_single_text_is_unchanged(text: str) -> None:
    assert only_text((Text(text),)) == render_message((Text(text),), "http://h:1") == text


@pytest.mark.parametrize("segments", [(), (Emoji(5),), (Image(MEDIA),), (Text("a"), Text("b")), (Text("a"), Emoji(5))])
def test_anything_but_a_single_text_is_none(segments: tuple[Segment, ...]) -> None:
    assert only_text(segments) is None


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1.0 KB"), (1536, "1.5 KB"), (1024**2 - 1, "1.0 MB"),
    (2 * 1024**2, "2.0 MB"), (100 * 1024**2, "100.0 MB"), (1024**3, "1.0 GB"), (5 * 1024**4, "5120.0 GB"),
])  # fmt: skip
def test_sizes_have_units(count: int, text: str) -> None:
    assert readable_size(count) == text
