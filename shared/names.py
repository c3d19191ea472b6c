"""Names that users choose: valid characters, and a common key of names that look alike.

Data and rules: docs/adr/0033-usernames-that-look-alike-are-one.md and
docs/adr/0057-identifiers-have-one-canonical-form.md.
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that are not visible: those with the property Default_Ignorable_Code_Point, which include all controls of
text direction, and the annotation controls."""
_SIGNS = re.compile(r"[\W_]+")
_BLANK_BRAILLE = "\u2800"
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_VARIATION_SELECTOR = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""The flag of a region, for example of Scotland."""
_KEYCAP = re.compile("[0-9#*]\ufe0f\u20e3")
_SEQUENCE = re.compile(f"({_TAGGED_FLAG.pattern}|{_KEYCAP.pattern})|{_INVISIBLE.pattern}")
_EMOJI_ENDS = "\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""The emoji presentation and the skin tones, which may be between an emoji and a joiner."""
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_MOST_NORMALIZED = 2_000


def plain_name(name: str) -> str:
    """The form of a name that is stored. It is needed because different systems encode the same characters in different
    Unicode forms."""
    return unicode_form("NFC", name)


def unicode_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text of a user in a Unicode form. A text that is longer than any name or identifier stays as it is, because
    if it consists of combining marks, ordering them takes a time that grows with the square of their number."""
    return text if len(text) > _MOST_NORMALIZED else unicodedata.normalize(form, text)


def is_valid_name(name: str) -> bool:
    """Whether a name is not blank, has no control characters, and has invisible characters only where its scripts or
    emoji need them. It may be empty."""
    if any(unicodedata.category(character) in _CONTROLS for character in name):
        return False
    if name and not name.replace(_BLANK_BRAILLE, " ").strip():
        return False
    return _INVISIBLE.search(without_joiners(name)) is None


def without_joiners(name: str) -> str:
    """The name without those invisible characters that its scripts or its emoji sequences need. Scripts need joiners
    (by IDNA's rule ContextJ) and variants of letters that have no case."""
    name = _KEYCAP.sub("#", _TAGGED_FLAG.sub("\U0001f3f4", name))
    return _INVISIBLE.sub(lambda found: "" if _is_needed(name, found.start()) else found[0], name)


def without_invisible(name: str) -> str:
    """The name without control characters, and without invisible characters, except those that its scripts or emoji
    need."""
    before, shown = "", "".join(one for one in name if unicodedata.category(one) not in _CONTROLS)
    while shown != before:  # a kept character may depend on one that was just removed
        before, shown = shown, _SEQUENCE.sub(_kept, shown)
    return shown


def _kept(found: re.Match[str]) -> str:
    return found[0] if found[1] or _is_needed(found.string, found.start()) else ""


def _is_needed(name: str, at: int) -> bool:
    if at == 0:
        return False
    character = name[at]
    if character == _NON_JOINER:
        return _is_valid_by_idna(name, at)
    if character == _JOINER:
        return _joins_emoji(name, at) or _is_valid_by_idna(name, at)
    has_variants = _is_symbol(name[at - 1]) or unicodedata.category(name[at - 1]) == "Lo"
    return has_variants and bool(_VARIATION_SELECTOR.match(character))


def _is_valid_by_idna(name: str, at: int) -> bool:
    import idna  # imported here, because few names need its tables, which take 0.6 MiB

    try:
        return idna.valid_contextj(name, at)
    except ValueError:  # Unicode has not assigned this character
        return False


def _joins_emoji(name: str, at: int) -> bool:
    before = name[:at].rstrip(_EMOJI_ENDS)
    return bool(before) and _is_symbol(before[-1]) and _is_symbol(name[at + 1 : at + 2])


def _is_symbol(character: str) -> bool:
    """Whether the character can be an emoji. Unassigned characters (Cn) also count, because they may be emoji that are
    newer than Python's data."""
    return (
        character >= "\u00a9"
        and not _INVISIBLE.match(character)
        and unicodedata.category(character) in {"So", "Sm", "Sk", "Po", "Pd", "Cn"}
    )


def name_key(name: str) -> str:
    """The key of a name. Names with the same key count as the same name. It is the skeleton (UTS 39) of NFKC_Casefold,
    and is not meant for display."""
    return _skeleton(fold(name))


def name_look(name: str) -> str:
    """Like `name_key`, but folds case last. So `PaveI` (with a capital i) has the same look as `Pavel`, but another
    key."""
    return name_key(_skeleton(_INVISIBLE.sub("", unicodedata.normalize("NFKC", name))))


def look_alike(name: str, other: str) -> bool:
    return name_key(name) == name_key(other) or name_look(name) == name_look(other)


def imitates(name: str, other: str) -> bool:
    """Whether a reader can mistake `name` for `other`. Signs between and around the letters are ignored."""
    bare, bare_other = (_SIGNS.sub("", unicodedata.normalize("NFKC", text)) for text in (name, other))
    return look_alike(bare, bare_other) if bare_other else look_alike(name, other)


def keys_version() -> int:
    """The version of the data from which keys are made: Unicode's data in Python, and the list of confusable
    characters."""
    return zlib.crc32(_confusables_json() + unicodedata.unidata_version.encode())


def fold(name: str) -> str:
    """NFKC_Casefold of a name. It removes differences of case, of Unicode forms and of invisible characters."""
    folded = _INVISIBLE.sub("", unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold()))
    return folded if folded == name else fold(folded)


def _skeleton(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).translate(_baselines()))


def _confusables_json() -> bytes:
    return files("confusable_homoglyphs").joinpath("confusables.json").read_bytes()


@cache
def _baselines() -> Mapping[int, str]:
    """The baseline of each confusable character. The data lists pairs of a character and its baseline in both
    directions, and some have marks around them. So the baseline is the character or string that is paired with several
    characters. If two characters are paired only with each other, either can be the baseline."""
    pairs: dict[str, list[str]] = {
        _without_marks(text): [_without_marks(other["c"]) for other in others]
        for text, others in json.loads(_confusables_json()).items()
    }
    baselines = {
        ord(character): others[0]
        for character, others in pairs.items()
        if len(character) == len(others) == 1 and _rank(others[0], pairs) > _rank(character, pairs)
    }
    return {character: baseline.translate(baselines) for character, baseline in baselines.items()}


def _rank(text: str, pairs: Mapping[str, list[str]]) -> tuple[int, int, str]:
    return len(text), len(pairs[text]), text


def _without_marks(text: str) -> str:
    return text.strip("\u200e")
