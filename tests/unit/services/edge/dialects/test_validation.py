import pytest

from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError


@pytest.mark.parametrize("emoji", ["👩" + "\u200d👩" * 16, "a" + "\u0301" * 32, "x" * 33])
def test_a_reaction_is_not_longer_than_in_the_native_dialect(emoji: str) -> None:
    with pytest.raises(DecodeError):
        validation.reaction(emoji)
    assert validation.reaction("👩" + "\u200d👩" * 15)
