"""Lines of IRC (RFC 1459, RFC 2812, IRCv3 message tags): `@TAGS :SOURCE COMMAND PARAMETER :LAST PARAMETER`."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode

LINE_BYTES: Final = 510
"""The bytes of a line without its tags and its line break."""
_CLIENT_TAG_BYTES = 4094
_LINE: Final = re.compile(
    r"(?:@(?P<tags>[^ ]*) +)?(?::(?P<source>[^ ]*) +)?(?P<command>[^ :@][^ ]*)(?P<rest>.*)", re.DOTALL
)
_BREAKS: Final = re.compile("[\0\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_LINE_BREAKS: Final = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_ESCAPES = {"\\": "\\\\", ";": "\\:", " ": "\\s", "\r": "\\r", "\n": "\\n"}
_UNESCAPES = {"\\": "\\", ":": ";", "s": " ", "r": "\r", "n": "\n"}
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPABLE: Final = re.compile("[\\\\; \r\n\0\v\f\x1c-\x1e\x85\u2028\u2029]")
_FORMATTING: Final = re.compile(
    "\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x01\x02\x0f\x11\x16\x1d-\x1f]"
)
_WORD_CHARACTERS = 80


class Line(NamedTuple):
    """`command` is as the client has written it. A tag without a value has an empty text as its value."""

    tags: Mapping[str, str]
    source: str
    command: str
    parameters: list[str]


def parse_line(text: str) -> Line | None:
    """Parse a line of a client. Returns None if the line has no command."""
    match = _LINE.fullmatch(text.lstrip(" "))
    if match is None:
        return None
    tags, source, command, rest = match.groups("")
    middle, colon, last = rest.partition(" :")
    parameters = [*filter(None, middle.split(" ")), *([last] if colon else [])]
    return Line(parse_tags(tags) if tags else {}, source, command, parameters)


def parse_tags(text: str) -> dict[str, str]:
    """The tags of a line. If a tag occurs several times, its last value counts."""
    tags: dict[str, str] = {}
    for tag in filter(None, text.split(";")):
        name, _, value = tag.partition("=")
        tags[name] = _ESCAPED.sub(lambda found: _UNESCAPES.get(found[1], found[1]), value)
    return tags


def read_line(frame: bytes) -> Line:
    """Parse a line of a client, and check its size and form. Raises DecodeError."""
    line = frame.rstrip(b"\r\n")
    tags, _, rest = line.partition(b" ") if line.startswith(b"@") else (b"", b"", line)
    if len(rest) > LINE_BYTES or len(tags) > len("@") + _CLIENT_TAG_BYTES:
        raise DecodeError(f"a line has at most {LINE_BYTES} bytes, its tags {_CLIENT_TAG_BYTES}", ErrorCode.TOO_LARGE)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("the line is not UTF-8") from error
    if "\0" in text or "\r" in text or "\n" in text or (parsed := parse_line(text)) is None:
        raise DecodeError("one line with a command is expected")
    return Line(parsed.tags, parsed.source, parsed.command.upper(), parsed.parameters)


def encode_line(
    command: str, *words: object, last: str | None = None, source: str = "", tags: Mapping[str, str] | None = None
) -> bytes:
    """Encode a line. `last` and the tags may contain any text of users. The caller makes the words with `word`, or they
    come from the server."""
    line = " ".join((command, *map(str, words)))
    if last is not None:
        line = f"{line} :{one_line(last)}"
    if source:
        line = f":{source} {line}"
    encoded = line.encode()
    encoded = encoded if len(encoded) <= LINE_BYTES else _cut(encoded, LINE_BYTES)
    return b"@%b %b" % (_encode_tags(tags).encode(), encoded) if tags else encoded


def _encode_tags(tags: Mapping[str, str]) -> str:
    return ";".join(f"{name}={escape(value)}" if value else name for name, value in tags.items())


def escape(value: str) -> str:
    """Escape the value of a tag. The result is no longer than the value was on the line of the client, so that the line
    is not too long for other clients."""
    if _ESCAPABLE.search(value) is None:
        return value
    return _ESCAPABLE.sub(lambda found: _ESCAPES.get(found[0], ""), value)


def with_tag(line: bytes, name: str, value: str) -> bytes:
    tag = f"{name}={escape(value)}".encode()
    return b"@%b;%b" % (tag, line[1:]) if line.startswith(b"@") else b"@%b %b" % (tag, line)


def one_line(text: str) -> str:
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def plain(text: str) -> str:
    """Return a client's text without its codes for bold, colours and the like. Other dialects would show these codes as
    characters."""
    return text if text.isprintable() else _FORMATTING.sub("", text)


def word(text: str) -> str:
    """Return a text of a client in a form in which it can be a parameter before the last one."""
    cleaned = "".join(text.split()).replace("\0", "").lstrip(":")[:_WORD_CHARACTERS]
    return one_line(cleaned) or "*"


def cut_text(text: str, size: int) -> list[str]:
    """Divide a text into its lines, at least one, and each line into pieces of at most `size` bytes. A line is cut at a
    space or, if there is none, between characters."""
    if text and text.isprintable() and len(text.encode()) <= size:
        return [text]
    pieces = [piece for line in _LINE_BREAKS.split(text) if line for piece in _pieces(one_line(line), size)]
    return pieces or [" "]


def _pieces(line: str, size: int) -> Iterator[str]:
    data = line.encode()
    while len(data) > size:
        head = _cut(data, size)
        space = head.rfind(b" ")
        if 0 < space and head[:space].strip():
            yield head[:space].decode()
            data = data[space + 1 :]
        else:
            yield head.decode()
            data = data[len(head) :]
    if data:
        yield data.decode()


def cut_whole(line: str, size: int) -> Iterator[str]:
    """Divide a line into pieces of at most `size` bytes that together are the whole line. It is cut after a space or,
    if there is none, between characters."""
    data = line.encode()
    while len(data) > size:
        head = _cut(data, size)
        head = head[: head.rfind(b" ") + 1] or head
        yield head.decode()
        data = data[len(head) :]
    yield data.decode()


def _cut(data: bytes, size: int) -> bytes:
    """Return the beginning of the text with at most this number of bytes. No character is cut in two."""
    return data[:size].decode(errors="ignore").encode()


def fill_lines(words: Iterable[str], size: int, separator: str = " ") -> Iterator[str]:
    """Join words into as few lines as possible."""
    line = ""
    for each in words:
        if line and len(line) + len(separator) + len(each) > size:
            yield line
            line = ""
        line = f"{line}{separator}{each}" if line else each
    if line:
        yield line
