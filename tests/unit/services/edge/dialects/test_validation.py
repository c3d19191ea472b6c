import pytest

from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode
from shared.contract.model import Emoji, Segment, Text
from shared.settings.limits import LimitsSettings

LIMITS = LimitsSettings()


@pytest.mark.parametrize("segments", [
    (Text("x"),), (Text(" "),), (Text(""), Text("x")), (Emoji(1),), (Text(""), Emoji(1)), (Emoji(0),) * 64,
    (Text("x" * 16384), Emoji(1)), (Text("字" * 5461), Text("x")),
])  # fmt: skip
def test_valid_messages(segments: tuple[Segment, ...]) -> None:
    assert validation.message_text(segments, LIMITS) == segments


@pytest.mark.parametrize(("segments", "code"), [
    ((), ErrorCode.INVALID), ((Text(""),), ErrorCode.INVALID), ((Text(""), Text("")), ErrorCode.INVALID),
    ((Emoji(0),) * 65, ErrorCode.TOO_LARGE), ((Text("x" * 16385),), ErrorCode.TOO_LARGE),
    ((Text("字" * 5461), Text("xx")), ErrorCode.TOO_LARGE),
])  # fmt: skip
def test_invalid_messages(segments: tuple[Segment, ...], code: ErrorCode) -> None:
    with pytest.raises(DecodeError) as rejected:
        validation.message_text(segments, LIMITS)
    assert rejected.value.failure.code is code


@pytest.mark.parametrize("emoji", ["👩" + "\u200d👩" * 16, "a" + "\u0301" * 32, "x" * 33])
def test_a_reaction_is_not_longer_than_in_the_native_dialect(emoji: str) -> None:
    with pytest.raises(DecodeError):
        validation.reaction(emoji)
    assert validation.reaction("👩" + "\u200d👩" * 15)
