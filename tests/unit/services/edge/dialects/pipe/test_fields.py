"""Tests the fields of a frame of pipe. Only the free text may contain line breaks."""

import pytest

from services.edge.dialects.base import DecodeError
from services.edge.dialects.pipe.fields import split_around_text, split_fields


def test_a_free_text_may_hold_bars_and_line_breaks() -> None:
    assert split_around_text("1|2|a|b\nc|9", 2, 1) == (["1", "2"], "a|b\nc", ["9"])


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028"])
@pytest.mark.parametrize("frame", ["1{}|2|text|9", "1|2{}|text|9", "1|2|text|9{}9"])
def test_a_field_beside_the_free_text_holds_no_line_break(frame: str, line_break: str) -> None:
    with pytest.raises(DecodeError, match="line break"):
        split_around_text(frame.format(line_break), 2, 1)


def test_a_field_of_a_frame_without_text_holds_no_line_break() -> None:
    with pytest.raises(DecodeError, match="line break"):
        split_fields("1|a\nb", 2)
    assert split_fields("1|ab||", 2) == ["1", "ab"]
