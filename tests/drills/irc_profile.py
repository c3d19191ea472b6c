"""How an IRC client behaves that logs in by SASL, and that requests echoes, message ids, times, and messages of several
lines.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, ClientRequest, Destination
from dragoman_client.codec.events import ClientEvent, OtherFrame, ReceivedMessage, ReplyKind
from tests.drills.client_profiles import PlainProfile
from tests.drills.recorded_connection import REPLY_SECONDS, Decode, RecordedConnection
from tests.drills.records import place_id

_IRC = CODECS["irc"]
_BEGINNING = (b"CAP LS 302", b"CAP REQ :batch draft/multiline")
_CONCAT = b"draft/multiline-concat"
_BEGIN = re.compile(rb"(?P<head>(?:@\S+ )?:\S+ )BATCH \+(?P<name>\S+) draft/multiline (?P<target>\S+)")
_END = re.compile(rb"(?:@\S+ )?:\S+ BATCH -(?P<name>\S+)")
_PIECE_CHARACTERS = 100


class IrcProfile(PlainProfile):
    """The client posts when all channels of its user are shown. A text that does not fit into a line is a batch.

    A private chat of `chats` has no channel, and is named by its other user (`partners`).
    """

    codec = _IRC
    path = _IRC.path
    silent_seconds = 0.0

    def __init__(self, password: str, chats: Sequence[int], partners: Mapping[int, int]) -> None:
        self._password = password
        self._chats = chats
        self._partners = partners

    def decoder(self) -> Decode:
        return IrcLines().decode

    def login(self, account: ClientAccount) -> ClientRequest:
        request = _IRC.login(ClientAccount(number=account.number, secret=self._password))
        return request._replace(before=(*_BEGINNING, *request.before))

    async def after_login(self, connection: RecordedConnection, ocid: int) -> None:
        missing = set(self._chats) - self._partners.keys()
        async with asyncio.timeout(REPLY_SECONDS):
            while missing:
                missing.discard(await connection.new_chats.get())

    async def list_session(self, connection: RecordedConnection, session: int) -> None:
        """Returns at once, because the channel of a new chat is shown without a request."""

    def message(self, account: ClientAccount, session: int, text: str) -> ClientRequest:
        partner, pieces = self._partners.get(session, 0), list(_pieces(text))
        to = Destination(user=partner) if partner else Destination(session)
        if len(pieces) == 1:
            return _IRC.post(account, to, text)
        start = _IRC.post(account, to, "").frame
        begin = b"BATCH +1 draft/multiline %b" % start.split()[1]
        lines = [b"@batch=1%b %b%b" % (b";" + _CONCAT if joined else b"", start, piece) for piece, joined in pieces]
        return ClientRequest(b"BATCH -1", ReplyKind.MESSAGE, text, account.number, (begin, *lines))


def _pieces(text: str) -> Iterator[tuple[bytes, bool]]:
    """Cuts a text into pieces that fit into a line. Yields each, and whether it belongs to the line before it."""
    for line in text.split("\n"):
        for at in range(0, len(line) or 1, _PIECE_CHARACTERS):
            yield line[at : at + _PIECE_CHARACTERS].encode(), at > 0


class IrcLines:
    """Decodes the lines of a connection. A message of several lines is an event when its last line has arrived.

    As in OurChat v2, the `position` of a message is its time in Unix milliseconds. Its `id` is a `place_id`.
    """

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[ReceivedMessage, list[str]]] = {}
        """For each batch that has not ended yet, the message without its text, and the pieces of the text."""

    def decode(self, frame: bytes) -> ClientEvent:
        tags = _tags(frame)
        if begun := _BEGIN.fullmatch(frame):
            message = _IRC.decode(b"%bPRIVMSG %b :" % begun.group("head", "target"))
            assert isinstance(message, ReceivedMessage), frame
            self._open[begun["name"]] = _placed(message, tags), []
            return OtherFrame()
        if (ended := _END.fullmatch(frame)) and ended["name"] in self._open:
            message, pieces = self._open.pop(ended["name"])
            return replace(message, text="".join(pieces))
        event = _IRC.decode(frame)
        if not isinstance(event, ReceivedMessage):
            return event
        if (name := tags.get(b"batch", b"")) not in self._open:
            return _placed(event, tags)
        _, pieces = self._open[name]
        pieces.append(event.text if not pieces or _CONCAT in tags else f"\n{event.text}")
        return OtherFrame()


def _tags(frame: bytes) -> dict[bytes, bytes]:
    shown = frame[1:].partition(b" ")[0] if frame.startswith(b"@") else b""
    return {name: value for name, _, value in (tag.partition(b"=") for tag in shown.split(b";"))}


def _placed(message: ReceivedMessage, tags: dict[bytes, bytes]) -> ReceivedMessage:
    time = datetime.fromisoformat(tags[b"time"].decode()).timestamp()
    return replace(message, id=place_id(message.chat, message.position), position=round(time * 1000))
