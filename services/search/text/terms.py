"""Splits texts into terms, by the same rules for messages and queries.

A word is a sequence of letters, digits and marks that Unicode does not separate (UAX 29), split at punctuation. In
scripts without spaces between words (Han, Kana, Hangul syllables, Thai, Lao, Khmer, Myanmar), each character with its
marks is one term. An emoji is a term.

The exact form of a word ignores case and Unicode forms (NFKC_Casefold). Turkish İ and ı become i, and digits of all
scripts become ASCII digits. The folded form also has no diacritics. A mark is removed if its script uses it as an
accent, as a point or for a variant of the same letter. A mark stays if it stands for a letter or a vowel (Indic
scripts, Thai, Kana).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import regex

from shared.emoji import bare_emoji

TERMS_VERSION = f"1 {unicodedata.unidata_version} {regex.__version__}"
"""The version of these rules. An index that was made with another version is not searched."""


class Term(NamedTuple):
    """A term: the part of a text from `start`, with `length` code points. `is_character`: the term is a character of a
    script without spaces. `goes_on`: the next term follows directly in the same run."""

    exact: str
    folded: str
    start: int
    length: int
    is_character: bool = False
    goes_on: bool = False


class _Compatible(dict[int, str]):
    """The NFKC form of each character whose form is one character. The trade mark sign is left out, because its NFKC
    form would become part of the previous word."""

    def __missing__(self, code: int) -> str:
        normal = unicodedata.normalize("NFKC", chr(code))
        self[code] = found = normal if len(normal) == 1 else chr(code)
        return found


_SINGLE = _Compatible({0x2120: " ", 0x2122: " "})


class Joined(NamedTuple):
    """Neighbouring terms that can also be read as one word: wi-fi and wifi, п'ять and пять, 1,000 and 1000."""

    folded: str
    first: int
    last: int
    """The positions of the first and the last term."""


_MARKS = r"[\p{M}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]"
_MOST_ADDED = 1_000
_APOSTROPHES = "\u02b9-\u02bf\u02c8\u02ee\ua78b\ua78c"
"""Unicode classes these characters as letters. In Hawaiian, Ukrainian or Uzbek, they are typed as apostrophes."""
_UNSPACED = (
    r"[[\p{LB=SA}\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Hangul}\u30fc\u3006\u303c\uff70]--[\p{M}\p{N}\p{Cf}]]"
)
_STACKED = r"(?:(?<=[\u1039\u17d2\u1a60])[\p{L}--\p{Latin}])"
"""Myanmar, Khmer, Tai Tham: a consonant that is written below the previous consonant."""
_SARA_AM = r"(?:(?<=[\u0e4d\u0ecd][\u0e48-\u0e4b\u0ec8-\u0ecb]?)[\u0e32\u0eb2])"
"""Thai, Lao: a vowel that NFKC splits into a mark and a letter."""
_SARA_E = "(?:\u0e40\u0e40|\u0ec0\u0ec0)"
"""Two characters that look like the vowel sara ae. Users type them instead of the single character."""
_CLUSTER = rf"(?:{_SARA_E}|{_UNSPACED})(?:{_MARKS}|{_STACKED}|{_SARA_AM})*"
_WRITTEN = rf"[[\p{{Alphabetic}}\p{{N}}]--[\p{{M}}{_APOSTROPHES}]]"
_WORD = rf"(?:(?!{_UNSPACED}){_WRITTEN}{_MARKS}*+)+"
_PICTURE = r"[\p{Extended_Pictographic}--[\u2122\u00a9\u00ae\p{Alphabetic}]](?:[\ufe0e\ufe0f]|\p{Emoji_Modifier})*"
_EMOJI = rf"\p{{RI}}\p{{RI}}|[0-9#*]\ufe0f?\u20e3|{_PICTURE}(?:\u200d{_PICTURE})*[\U000e0020-\U000e007f]*"
_TERM = regex.compile(rf"(?P<emoji>{_EMOJI})|(?P<run>(?:{_CLUSTER}\u200b*)+)|{_WORD}", regex.V1)
_CLUSTERS = regex.compile(_CLUSTER, regex.V1)
_COMBINES = regex.compile(rf"{_MARKS}|[\u1160-\u11ff\uff9e\uff9f\uffa0-\uffdc]", regex.V1)
_PLAIN_RUNS = "\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff\uac00-\ud7a3"
_PLAIN_WORDS = (
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0388-\u038a\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
)
_PUNCTUATION = "\u00a1\u00ab\u00bb\u00bf\u2013\u2014\u2018-\u201f\u3001-\u3003\u3008-\u3011"
_PLAIN = re.compile(f"[\x00-\x7f{_PLAIN_WORDS}{_PLAIN_RUNS}{_PUNCTUATION}]*")
"""Matches texts that can be split without looking up the properties of characters. This saves time, because every
message is split for the index."""
_PLAIN_TERM = re.compile(f"([{_PLAIN_RUNS}]+)|[0-9A-Za-z{_PLAIN_WORDS}]+")
_ARABIC_PART = regex.compile(r"[^\u200c]+")

_JOINS = regex.compile(rf"[-'\u2010\u2011\u2018\u2019`\u00b4\u05f3\u00b7\u2027_\u200c{_APOSTROPHES}]")
"""Characters that occur within words in some language."""
_FRACTION = "\u2044"
_GERSHAYIM = frozenset('"\u05f4')
_HEBREW = re.compile("[\u05d0-\u05ea]")
_GROUPS = frozenset(",.' \u2019\u066c_")
"""Characters that separate groups of digits in a number."""
_FIRST_GROUP = 3


def terms(text: str) -> list[Term]:
    """The terms in the order of the text."""
    normal, places = _normal(text)
    found = list(_plain_terms(normal) if _PLAIN.fullmatch(normal) else _terms(normal))
    if places is None:
        return found
    return [one._replace(start=places[one.start][0], length=_length(places, one)) for one in found]


def _length(places: list[tuple[int, int]], term: Term) -> int:
    return places[term.start + term.length - 1][1] - places[term.start][0]


def _normal(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """The text in NFKC, and for each of its characters the range in `text` from which it comes; None if each character
    comes from itself. The end of a text that becomes much longer is left out, because a single character can become
    eighteen. Only the first marks of a character are kept, because ordering thousands of marks takes long."""
    if text.isascii():
        return text, None
    text = text.translate(_SINGLE)
    if unicodedata.is_normalized("NFKC", text):
        return text, None
    parts, places = list[str](), list[tuple[int, int]]()
    for start, end in pairwise(_cluster_starts(text)):
        if len(places) > 2 * len(text) + _MOST_ADDED:
            break
        part = unicodedata.normalize("NFKC", text[start : min(end, start + 2 * MAX_TERM)])
        if _FRACTION in part:
            part = f" {part} "  # the blanks keep 2½ from becoming 21⁄2
        parts.append(part)
        places.extend([(start, end)] * len(part))
    return "".join(parts), places


def _cluster_starts(text: str) -> Iterator[int]:
    """The starts of clusters, and the end of the text. A cluster is a character with all following characters that
    combine with it."""
    yield 0
    yield from (at for at in range(1, len(text)) if not _COMBINES.match(text[at]))
    yield len(text)


def _plain_terms(normal: str) -> Iterator[Term]:
    for found in _PLAIN_TERM.finditer(normal):
        start, end = found.span()
        if found[1]:
            yield from (Term(one, one, at, 1, True, at < end - 1) for at, one in enumerate(found[1], start))
        else:
            yield Term(exact_form(found[0]), folded_form(found[0]), start, end - start)


def _terms(normal: str) -> Iterator[Term]:
    for found in _TERM.finditer(normal):
        start, end = found.span()
        if found["emoji"]:
            yield Term(*emoji_forms(found[0]), start, end - start)
        elif found["run"]:
            clusters = list(_visible_terms(_CLUSTERS.finditer(normal, start, end)))
            yield from (one._replace(is_character=True, goes_on=True) for one in clusters[:-1])
            yield from (one._replace(is_character=True) for one in clusters[-1:])
        elif "\u200c" in found[0] and "\u0600" <= found[0][0] <= "\u08ff":
            yield from _visible_terms(_ARABIC_PART.finditer(normal, start, end))
        else:
            yield from _visible_terms([found])


def _visible_terms(parts: Iterable[regex.Match[str]]) -> Iterator[Term]:
    """The terms, without parts that contain only invisible characters."""
    for part in parts:
        if exact := exact_form(part[0]):
            yield Term(exact, folded_form(part[0]), part.start(), part.end() - part.start())


# The functions below make the terms of a message for the index.


class IndexTerms(NamedTuple):
    """The terms of a text for the index. A term has no blanks. `folded` is a sequence, in which neighbouring terms form
    a phrase. In it, each character of a run forms a pair with the next character, and the last character of a run is a
    term by itself. `loose` is a set: single characters, words that are joined without their apostrophes and hyphens,
    and exact forms that differ from the folded forms.
    """

    folded: list[str]
    loose: set[str]


_ASCII_WORD = re.compile("[0-9a-z]+")
_ASCII_JOIN = re.compile("[0-9a-z][-'`_,.][0-9a-z]|[0-9] [0-9]")
"""Matches ASCII texts that may have joined words. Other ASCII texts have only words whose forms are equal."""


def index_terms(text: str) -> IndexTerms:
    if text.isascii() and not _ASCII_JOIN.search(lower := text.lower()):  # this takes a fifth of the time
        return IndexTerms([word[:MAX_TERM] for word in _ASCII_WORD.findall(lower)], set())
    found = terms(text)
    singles = {one.folded for one in found if one.goes_on}
    exact = {one.exact for one in found if one.exact != one.folded}
    return IndexTerms(sequence(found), singles | exact | {one.folded for one in joined(text, found)})


def sequence(found: list[Term]) -> list[str]:
    if not any(one.goes_on for one in found):
        return [one.folded for one in found]
    paired = [one.folded + (after.folded if one.goes_on else "") for one, after in pairwise(found)]
    return [*paired, found[-1].folded]


# Joined words


def joined(text: str, found: list[Term]) -> list[Joined]:
    """The neighbouring terms of this text that a search also finds as one word."""
    if len(found) < 2:
        return []
    chains, first = [], 0
    for at in range(1, len(found) + 1):
        if at == len(found) or not _joins(text, found, first, at):
            chains.append((first, at - 1))
            first = at
    return [
        Joined("".join(one.folded for one in found[low : high + 1])[:MAX_TERM], low, high)
        for low, high in chains
        if low < high
    ]


def _joins(text: str, found: list[Term], first: int, at: int) -> bool:
    """Whether the term `at` and the terms from `first` on can be read as one word."""
    before, term = found[at - 1], found[at]
    end = before.start + before.length
    if term.start != end + 1 or term.goes_on or before.goes_on:
        return False
    between = text[end]
    digits, digits_before = term.folded.isdigit(), before.folded.isdigit()
    if digits and digits_before:
        return between in _GROUPS and _is_group(text, found, first, at)
    if between == ".":
        return len(term.folded) == len(before.folded) == 1
    if between in _GERSHAYIM:
        return bool(_HEBREW.match(before.folded) and _HEBREW.match(term.folded))
    return bool(_JOINS.match(between))


def _is_group(text: str, found: list[Term], first: int, at: int) -> bool:
    """Whether the digits of the term `at` continue a number such as 1,000,000 (or 12,34,567 in India)."""
    start = found[first]
    separator = text[found[at].start - 1]
    same = at == first + 1 or text[found[at - 1].start - 1] == separator
    is_first = len(start.folded) <= _FIRST_GROUP and start.folded.isdigit()
    return same and is_first and len(found[at].folded) in ((2, 3) if separator == "," else (3,))


# The forms of words

MAX_TERM = 64
"""The most characters of a term. Further characters are not compared."""
_CACHED = 65_536
_IGNORED = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\u0640]+")
"""Invisible characters, and the Arabic tatweel, which stretches a word."""
_SKIN = regex.compile(r"(?<=.)\p{Emoji_Modifier}")
_LEGACY_CHILLU = regex.compile("([\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15])\u0d4d\u200d")
_CHILLU = dict(zip("\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15", "\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e\u0d7f", strict=True))
"""Malayalam: before Unicode 5.1, a chillu letter was written as a consonant, a virama and a joiner."""
_VISUAL_ORDER = regex.compile("([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb])")
"""Thai and Lao: NFKC splits the vowel sara am into two characters. Users type it before or after a tone mark, and both
orders look the same."""

_ACCENTS = regex.compile(
    "["
    "\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20dc\u20e1\u20e5-\u20f0\ufe20-\ufe2f"  # any script
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points and accents
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08d3-\u08e1\u08e3-\u08ff"
    "\u0711\u0730-\u074a"  # Syriac points
    "\u093c"  # the Devanagari nukta
    "]"
)
_DECOMPOSED = regex.compile(r"[\p{Script=Latin}\p{Script=Greek}\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Deva}]")
"""The scripts in which a letter with a mark counts as a form of the letter without the mark. Cyrillic is not among
them, because й, ї and ў are letters of their own."""
_VARIANTS = {
    # Unicode does not decompose letters with a stroke
    **dict(zip("ØøŁłĐđĦħŦŧÐðƗɨƵƶɈɉɃƀǤǥ", "OoLlDdHhTtDdIiZzJjBbGg", strict=True)),
    "ı": "i", "ȷ": "j", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Þ": "TH", "þ": "th", "Ŋ": "N", "ŋ": "n",
    "Ё": "Е", "ё": "е", "Ѐ": "Е", "ѐ": "е", "Ѝ": "И", "ѝ": "и",  # Cyrillic
    "ى": "ي", "ی": "ي", "ې": "ي", "ک": "ك", "ٱ": "ا",  # Arabic
    "ة": "ه", "ہ": "ه", "ۃ": "ه", "ۂ": "ه", "ە": "ه", "ۀ": "ه",
    **dict(zip("ךםןףץ", "כמנפצ", strict=True)),  # these Hebrew letters have another form at the end of a word
    "ँ": "ं",  # Devanagari
}  # fmt: skip


class _Replacements(dict[int, str]):
    """Replacements of characters for `str.translate`. Each replacement is computed once."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _without_accents(chr(code))
        return found


def _without_accents(character: str) -> str:
    if character in _VARIANTS:
        return _VARIANTS[character]
    if not _DECOMPOSED.match(character):
        return _ACCENTS.sub("", character)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", character))
    return "".join(_VARIANTS.get(one, one) for one in bare)


class _Digits(dict[int, str]):
    """Maps digits of all scripts to ASCII digits, and ı to i."""

    def __missing__(self, code: int) -> str:
        self[code] = found = str(unicodedata.decimal(chr(code), chr(code)))
        return found


_BASIC = _Digits({ord("ı"): "i"})
_BARE = _Replacements()


@lru_cache(_CACHED)
def exact_form(word: str) -> str:
    """The exact form of a word in NFKC."""
    return _cased(_visible(word))


@lru_cache(_CACHED)
def folded_form(word: str) -> str:
    """The folded form of a word in NFKC. A word that has only marks keeps its exact form."""
    visible = _visible(word)
    return _cased(unicodedata.normalize("NFC", visible.translate(_BARE))) or _cased(visible)


def _visible(word: str) -> str:
    word = _LEGACY_CHILLU.sub(lambda found: _CHILLU[found[1]], word[: 2 * MAX_TERM])
    return _VISUAL_ORDER.sub(r"\2\1", _IGNORED.sub("", word)).replace("เเ", "แ").replace("ເເ", "ແ")


def _cased(word: str) -> str:
    folded = word.translate(_BASIC).casefold().replace("i\u0307", "i")
    return unicodedata.normalize("NFKC", folded)[:MAX_TERM]


def emoji_forms(emoji: str) -> tuple[str, str]:
    """An emoji without variation selectors, and the same emoji also without the skin colour."""
    bare = bare_emoji(emoji)[:MAX_TERM]
    return bare, _SKIN.sub("", bare)
