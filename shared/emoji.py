"""Emoji, by the rules of Unicode (UTS 51): the canonical form of an emoji, and the check that a text is one emoji."""

import re
import unicodedata

_SHOWN_AS_TEXT = """
    a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 2328 23cf 23ed-23ef 23f1-23f2 23f8-23fa 24c2 25aa-25ab 25b6
    25c0 25fb-25fc 2600-2604 260e 2611 2618 261d 2620 2622-2623 2626 262a 262e-262f 2638-263a 2640 2642
    265f-2660 2663 2665-2666 2668 267b 267e 2692 2694-2697 2699 269b-269c 26a0 26a7 26b0-26b1 26c8 26cf 26d1
    26d3 26e9 26f0-26f1 26f4 26f7-26f9 2702 2708-2709 270c-270d 270f 2712 2714 2716 271d 2721 2733-2734 2744
    2747 2763-2764 27a1 2934-2935 2b05-2b07 3030 303d 3297 3299 1f170-1f171 1f17e-1f17f 1f202 1f237 1f321
    1f324-1f32c 1f336 1f37d 1f396-1f397 1f399-1f39b 1f39e-1f39f 1f3cb-1f3ce 1f3d4-1f3df 1f3f3 1f3f5 1f3f7 1f43f
    1f441 1f4fd 1f549-1f54a 1f56f-1f570 1f573-1f579 1f587 1f58a-1f58d 1f590 1f5a5 1f5a8 1f5b1-1f5b2 1f5bc
    1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa 1f6cb 1f6cd-1f6cf 1f6e0-1f6e5 1f6e9
    1f6f0 1f6f3
"""
"""The characters that are emoji only with a variation selector, in hex. They have the property Emoji but not
Emoji_Presentation. New emoji of Unicode need no selector."""
_MODIFIERS = "\U0001f3fb-\U0001f3ff"
_JOINER = "\u200d"
_SELECTOR = "\ufe0f"
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_EXTENDS = re.compile(f"[{_MODIFIERS}\U000e0020-\U000e007f]")
_MARKS = frozenset({"Mn", "Me", "Mc"})


def _character_class(ranges: str) -> str:
    """A character class of a regular expression."""
    ends = [one.split("-") for one in ranges.split()]
    return "[" + "".join("-".join(chr(int(end, 16)) for end in one) for one in ends) + "]"


_NEEDS_SELECTOR = re.compile(f"({_character_class(_SHOWN_AS_TEXT)}(?![{_MODIFIERS}])|[0-9#*](?=\u20e3))")


def canonical_emoji(text: str) -> str:
    """The text with a variation selector after each emoji that needs one, and without any others (the fully-qualified
    form of UTS 51)."""
    return _NEEDS_SELECTOR.sub(rf"\1{_SELECTOR}", bare_emoji(text))


def bare_emoji(text: str) -> str:
    """Returns the emoji without variation selectors."""
    return unicodedata.normalize("NFC", text.replace(_SELECTOR, "").replace("\ufe0e", ""))


def is_one_cluster(text: str) -> bool:
    """Whether a reader sees the text as one character: as a grapheme cluster (UAX 29) of emoji or combining marks."""
    flag = _REGIONAL.match(text)
    joined = False
    for character in text[flag.end() if flag else 1 :]:
        if not joined and character != _JOINER and not _extends(character):
            return False
        joined = character == _JOINER
    return bool(text)


def _extends(character: str) -> bool:
    return unicodedata.category(character) in _MARKS or bool(_EXTENDS.match(character))
