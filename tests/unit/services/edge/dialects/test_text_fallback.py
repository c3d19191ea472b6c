import pytest

from services.edge.dialects.text_fallback import only_text, readable_size, render_message, render_segment
from shared.contract.model import Emoji, File, Image, Media, Segment, Text

MEDIA = Media("00ff", "cat.png", 1536, "ab", "image/png")


@pytest.mark.parametrize(("segment", "text"), [
    (Text("a|b\n"), "a|b\n"),
    (Emoji(5), "[emoji:5]"),
    (Image(MEDIA), "[图片] cat.png http://h:1/media/00ff"),
    (File(MEDIA), "[文件] cat.png (1.5 KB) http://h:1/media/00ff"),
])  # fmt: skip
def test_each_kind_of_segment_has_a_text(segment: Segment, text: str) -> None:
    assert render_segment(segment, "http://h:1") == text


def test_segments_are_joined_by_one_space_in_order() -> None:
    segments = (Text("look"), Emoji(1), Image(MEDIA), Text("!"))
    assert render_message(segments, "http://h:1") == "look [emoji:1] [图片] cat.png http://h:1/media/00ff !"


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
