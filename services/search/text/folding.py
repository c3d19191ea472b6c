"""Normalises words for comparisons.

The exact form of a word ignores case and Unicode forms (NFKC_Casefold). Turkish İ and ı become i, and digits of all
scripts become ASCII digits. The folded form also has no diacritics. A mark is removed if its script uses it as an
accent, as a point or for a variant of the same letter. A mark stays if it stands for a letter or a vowel (Indic
scripts, Thai, Kana).
"""

import unicodedata
from functools import lru_cache

import regex

from shared.emoji import bare_emoji

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
_PLAIN = _Replacements()


@lru_cache(_CACHED)
def exact_form(word: str) -> str:
    """The exact form of a word in NFKC."""
    return _cased(_visible(word))


@lru_cache(_CACHED)
def folded_form(word: str) -> str:
    """The folded form of a word in NFKC. A word that has only marks keeps its exact form."""
    visible = _visible(word)
    return _cased(unicodedata.normalize("NFC", visible.translate(_PLAIN))) or _cased(visible)


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
