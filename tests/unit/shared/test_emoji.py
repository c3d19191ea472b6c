"""Each emoji has one form. Unicode's emoji-test.txt decides which texts are one emoji."""

import pytest

from shared.emoji import canonical_emoji, is_one_cluster

KISS = "\U0001f469\U0001f3fd\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468\U0001f3fd"
RAINBOW_FLAG = "\U0001f3f3\ufe0f\u200d\U0001f308"
EYE_IN_BUBBLE = "\U0001f441\ufe0f\u200d\U0001f5e8\ufe0f"
DETECTIVE = "\U0001f575\U0001f3fd\u200d\u2642\ufe0f"
SCOTLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(tag)) for tag in "gbsct") + "\U000e007f"
FULLY_QUALIFIED = [
    "\U0001f44d", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f1e9\U0001f1ea", "\u261d\U0001f3fd", "\u2615", "\u00a9\ufe0f",
    KISS, RAINBOW_FLAG, EYE_IN_BUBBLE, DETECTIVE, SCOTLAND,
]  # fmt: skip


@pytest.mark.parametrize("emoji", FULLY_QUALIFIED)
def test_every_form_of_an_emoji_is_one(emoji: str) -> None:
    bare = emoji.replace("\ufe0f", "")
    selected = "".join(f"{one}\ufe0f" for one in bare)
    for form in (emoji, bare, selected, f"{bare}\ufe0e"):
        assert canonical_emoji(form) == emoji


@pytest.mark.parametrize("emoji", FULLY_QUALIFIED)
def test_an_emoji_is_one_cluster(emoji: str) -> None:
    assert is_one_cluster(emoji)
    assert not is_one_cluster(emoji + "\U0001f44d")


def test_texts_stay_as_they_are_but_for_composition() -> None:
    assert canonical_emoji("+1") == "+1"
    assert canonical_emoji("e\u0301") == "\u00e9"
    assert canonical_emoji("\ufe0f") == ""


def test_what_is_several_characters() -> None:
    flags = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"
    assert [is_one_cluster(text) for text in ("", "ab", flags, "e\u0301")] == [False, False, False, True]
