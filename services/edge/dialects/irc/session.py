"""The state of one IRC connection, and the answers to its lines.

A line of the client may cause several requests, one after the other. The context of each request is a Task, whose
functions handle the reply and make the next request. All their lines form one Answer. If the line has a label, the
Answer is written as a whole.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from services.edge.canonical.commands import Command
from services.edge.canonical.frames import Outgoing
from services.edge.dialects.base import Action, ConnectionInfo, DecodeError, Request
from services.edge.dialects.irc.lines import Line, encode_line, with_tag, word
from services.edge.dialects.irc.names import User, chat_of, fold, numbered_channel, unknown_user
from services.edge.rate_limit import TokenBucket
from shared.clock import utc_time
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message

if TYPE_CHECKING:
    from services.edge.dialects.irc.multiline import OpenBatch

Lines = Iterable[bytes]
NOBODY = "*"
"""The nick of a connection that is not logged in."""
MOST_TARGETS = 20
"""The most targets of one line, because each may need a request. Some clients join ten channels with one line."""
HAPPENING = "@"
"""This character precedes the time in the id of a group event, as in 5-@1724400000000. The id of a message has the
message's index there."""
_GONE = 256
_SEARCH_RATE = 2.0, 20
"""The searches of a connection: this number in each second, and at most this number at once."""
_HELD_BYTES = 64 * 1024
"""The most bytes of a labelled answer that are held before it is written piece by piece."""
_FAIL_CODES: Mapping[ErrorCode, str] = {
    ErrorCode.INVALID: "INVALID_PARAMS",
    ErrorCode.UNAUTHENTICATED: "ACCOUNT_REQUIRED",
    ErrorCode.FORBIDDEN: "FORBIDDEN",
    ErrorCode.NOT_FOUND: "NOT_FOUND",
    ErrorCode.CONFLICT: "CONFLICT",
    ErrorCode.LIMIT: "LIMIT_REACHED",
    ErrorCode.TOO_LARGE: "TOO_LARGE",
    ErrorCode.RATE_LIMITED: "RATE_LIMITED",
    ErrorCode.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    ErrorCode.INTERNAL: "INTERNAL_ERROR",
}


class Answer:
    """The answer to one line of the client. At an event, there is an Answer without a line. `opened`: the number of
    requests without a reply."""

    __slots__ = ("_after", "_batch", "_lines", "command", "label", "opened")

    def __init__(self, command: str = "", label: str = "") -> None:
        self.command = command
        self.label = label
        self.opened = 0
        self._lines: list[bytes] = []
        self._after: list[bytes] = []
        self._batch = ""

    def add(self, lines: Lines, session: "IrcSession") -> tuple[bytes, ...]:
        """Add lines. Returns the lines that can be written now."""
        if not self.label:
            after, self._after = self._after, []
            return (*lines, *after)
        self._lines += lines
        if not self._batch:
            if not self.opened:
                return (*self._labelled(session), *self._after)
            if sum(map(len, self._lines)) < _HELD_BYTES:
                return ()
        return tuple(self._batched(session))

    def hold(self, lines: Lines) -> None:
        """Add lines about an action of the account itself. An event has reported this action before the reply to its
        request arrived."""
        self._lines += lines

    def follow(self, lines: Lines) -> None:
        """Add lines after the answer, without its label."""
        self._after += lines

    def only(self, line: bytes) -> tuple[bytes, ...]:
        """Return the answer as this single line, without the lines that were collected before."""
        return (with_tag(line, "label", self.label) if self.label else line,)

    def _labelled(self, session: "IrcSession") -> Iterator[bytes]:
        first, *rest = self._lines or [session.acknowledgement]
        if not rest or _is_batch(first):
            yield with_tag(first, "label", self.label)
            yield from rest
            return
        yield from self._batched(session)

    def _batched(self, session: "IrcSession") -> Iterator[bytes]:
        if not self._batch:
            self._batch = session.new_batch()
            start = encode_line("BATCH", f"+{self._batch}", "labeled-response", source=session.server)
            yield with_tag(start, "label", self.label)
        yield from in_batch(self._lines, self._batch)
        self._lines.clear()
        if not self.opened:
            yield encode_line("BATCH", f"-{self._batch}", source=session.server)


def in_batch(lines: Lines, name: str) -> Lines:
    """Put lines into a batch. Lines of an inner batch already have the tag of that batch, and stay unchanged."""
    return (line if line.startswith(b"@batch=") else with_tag(line, "batch", name) for line in lines)


def _is_batch(line: bytes) -> bool:
    tags, space, rest = line.partition(b" ")
    bare = rest if tags.startswith(b"@") and space else line
    return b" BATCH +" in bare.partition(b" :")[0][:200] and b"batch=" not in tags


class Task(NamedTuple):
    """The context of one request. Its functions handle the reply or the failure, return the lines for the client, and
    may make the next request."""

    answer: Answer
    done: Callable[[Any], Lines]
    failed: Callable[[Failure], Lines]


class Sent(NamedTuple):
    """The context of a request that posts an ordinary text to a channel: the `target` and the label of the line."""

    target: str
    label: str


class LineRejection(NamedTuple):
    """The context of a line that is rejected: the numeric reply and its words or, without a numeric, a FAIL. `batched`:
    the line is part of a message of several lines, and was not decoded."""

    answer: Answer
    numeric: str = ""
    words: tuple[str, ...] = ()
    code: str = ""
    batched: bool = False


@dataclass(slots=True)
class Channel:
    """A group of the account, and its settings: `modes`, `key`, `most`, `silenced`, `invited`, `ownerless`. `shown`:
    whether its JOIN is written. `hidden`: the client has left the channel, but the account may still be a member.
    `wanted`: the client shows the channel although it was hidden before.
    `ended`: the account has left the group, and the event about this has not arrived yet."""

    name: str
    topic: str = ""
    topic_by: AccountId = NO_ACCOUNT
    topic_time: int = 0
    created: int = 0
    invited: bool = False
    modes: str = "nt"
    key: str = ""
    most: int = 0
    silenced: bool = False
    ownerless: bool = False
    has_topic: bool = False
    shown: bool = False
    hidden: bool = False
    wanted: bool = False
    ended: bool = False


class IrcSession:
    def __init__(self, info: ConnectionInfo) -> None:
        self.info = info
        self.server = info.server.name
        self.acknowledgement = encode_line("ACK", source=self.server)
        self.follow_ups: list[Action] = []
        """The requests that follow the line, the reply or the event that is being handled."""
        self.capabilities: set[str] = set()
        self._batches = count(1)
        self.welcomed = False
        """Whether numeric 001 is written, which means that the client is ready for all lines."""
        self.account = NO_ACCOUNT
        self.user = unknown_user(NO_ACCOUNT, self.server)
        self.is_guest = False
        self.wanted_nick = self.wanted_user = self.wanted_name = self.device = ""
        """The names that a guest gets, from NICK and USER, and the name of the device, the first parameter of USER."""
        self.away = ""
        self.user_modes = {"i"}
        self.shown_away: dict[AccountId, int] = {}
        """When numeric 301 (away) was last written about each user, in Unix milliseconds."""
        self.monitored: dict[str, str] = {}
        """The monitored nicks, by their folded forms."""
        self.watched: dict[AccountId, User] = {}
        """The monitored users with an account."""
        self.states: dict[AccountId, str] = {}
        """The away texts of the watched accounts that are online, as the client was shown them."""
        self.open_batch: OpenBatch | None = None
        self.subscribed: list[str] = []
        """The keys of METADATA whose changes the client sees."""
        self.early_metadata: dict[str, str] = {}
        """The values that the client has set by METADATA before the welcome."""
        self.shown_times: dict[ChatId, int] = {}
        """The times that MARKREAD has shown for each chat."""
        self.sid = ""
        """The id of the account's login."""
        self.push_key = ""
        self.leaving = self.ended = False
        """Whether QUIT is being carried out, and whether the last line is written."""
        self.gone: deque[AccountId] = deque(maxlen=_GONE)
        """The accounts whose QUIT line is written."""
        self._real_names: dict[AccountId, str] = {}
        """The real names that were shown by SETNAME."""
        self.channels: dict[ChatId, Channel] = {}
        self.partners: dict[ChatId, AccountId] = {}
        """The other members of private chats."""
        self.users: dict[AccountId, User] = {}
        """The other members of private chats, as far as their names are known."""
        self.waiting: Answer | None = None
        """The labelled answer whose requests have no reply yet. Lines about actions of the account itself belong to
        this answer."""
        self.searches = TokenBucket(*_SEARCH_RATE, 0.0)
        """The rate of the connection's searches, among messages or among the names of chats."""
        self.pushed_from: dict[ChatId, int] = {}
        """The index of the first message of each chat that was pushed. All later messages are pushed, too."""
        self._named: dict[str, ChatId] = {}
        """The chats of names of channels. A name may have been given to another chat since."""
        self._shown_mask = ""
        """The `nick!user@host` of the account that the client was last shown."""
        self._left: list[str] = []
        """The channels of the previous account that the client still shows."""

    def enter(self, account: AccountId) -> None:
        """Note that the connection is logged in as `account`. Nothing changes if it was logged in as this account
        before."""
        if account == self.account:
            return
        self._left += [channel.name for channel in self.channels.values() if channel.shown and not channel.hidden]
        self.account = account
        self.user = unknown_user(account, self.server)
        self.channels, self.partners, self.users, self.shown_times, self.pushed_from = {}, {}, {}, {}, {}
        self.watched, self.states = {}, {}

    def rename(self, user: User) -> Lines:
        """Set the account's names. To the client, the same user gets a new nick, user and host, and leaves the channels
        of the previous account."""
        self.user, nick = user, user.nick
        before, self._shown_mask = self._shown_mask, self.mask
        if not self.welcomed or before == self._shown_mask:
            return ()
        left, self._left = self._left, []
        lines = [encode_line("PART", name, source=before) for name in left]
        if not before.startswith(f"{nick}!"):
            lines.append(encode_line("NICK", nick, source=before))
        return [*lines, *self.moved(user, before.partition("!")[2])]

    def moved(self, user: User, before: str) -> Lines:
        """The CHGHOST line of a user whose `user@host` was `before`."""
        if not self.has("chghost") or before == f"{user.user}@{user.host}":
            return ()
        return [encode_line("CHGHOST", user.user, user.host, source=f"{user.nick}!{before}")]

    def real_name_line(self, user: User) -> Lines:
        """The SETNAME line of another user, only once. If this user is monitored and is in a common group, two events
        report the same change."""
        if not self.has("setname") or self._real_names.get(user.account) == user.real_name:
            return ()
        self._real_names[user.account] = user.real_name
        if len(self._real_names) > _GONE:
            del self._real_names[next(iter(self._real_names))]
        return [self.by(user, self.line("SETNAME", last=user.real_name, source=user.mask))]

    def set_real_name(self, text: str) -> Lines:
        """Set the account's real name. The line is written only once, when either the reply or the event arrives
        first."""
        if not self.welcomed or self.user.real_name == text:
            return ()
        self.user = self.user._replace(real_name=text)
        return [self.own("SETNAME", last=text)] if self.has("setname") else ()

    def has(self, capability: str) -> bool:
        return capability in self.capabilities

    @property
    def shows_own(self) -> bool:
        """Whether to show private messages that the account has sent from another client. Without one of these
        capabilities, IRC clients would open a chat of the user with itself."""
        return self.has("echo-message") or self.has("znc.in/self-message")

    @property
    def nick(self) -> str:
        return NOBODY if self.account == NO_ACCOUNT else self.user.nick

    @property
    def mask(self) -> str:
        return self.user.mask

    def new_batch(self) -> str:
        return f"b{next(self._batches)}"

    def user_for(self, account: AccountId) -> User:
        """The user of an account. If the account's names are unknown, names with the account's number are used."""
        if account == self.account:
            return self.user
        return self.users.get(account) or unknown_user(account, self.server)

    def channel_name(self, chat: ChatId) -> str:
        channel = self.channels.get(chat)
        return numbered_channel(chat, "") if channel is None else channel.name

    def chat_name(self, message: Message, partner: AccountId | None, channel: str = "") -> str:
        """The name of a message's chat in the lines of the message: the nick of its recipient, or the name of the
        channel. `partner`: the other member of a private chat, None in a group. `channel`: the name that the client has
        written, or empty."""
        if partner is None:
            return channel or self.channel_name(message.chat)
        return self.user_for(partner).nick if message.sender == self.account else self.nick

    def partner_of(self, message: Message, recipient: AccountId | None) -> AccountId | None:
        """The other member of the private chat of a message to `recipient`, or None in a group."""
        return recipient if recipient is None or message.sender == self.account else message.sender

    def find_channel(self, name: str) -> ChatId | None:
        """The chat with this channel name, if its number is in the name or the account has such a channel. The last
        chat of each name is remembered, because a search among many channels takes long."""
        if "~" in name:
            return chat_of(name)
        folded = fold(name)
        chat = self._named.get(folded)
        if chat is not None and chat in self.channels and fold(self.channels[chat].name) == folded:
            return chat
        for chat, one in self.channels.items():
            if fold(one.name) == folded:
                if len(self._named) >= len(self.channels):
                    self._named.clear()
                self._named[folded] = chat
                return chat
        return chat_of(name)

    def chat_with(self, account: AccountId) -> ChatId:
        """The private chat with this account, or 0 if none is known."""
        return next((chat for chat, other in self.partners.items() if other == account), ChatId(0))

    def private_chat(self, nick: str) -> ChatId | None:
        folded = fold(nick)
        return next((chat for chat, one in self.partners.items() if fold(self.user_for(one).nick) == folded), None)

    def prefixes(self, found: str) -> str:
        """The signs before a member's nick that the client understands."""
        return found if self.has("multi-prefix") else found[:1]

    # Lines

    def by(self, user: User, line: bytes) -> bytes:
        """A line about a user's action, with the user's account for clients that request it."""
        if self.has("account-tag") and user.account_name:
            return with_tag(line, "account", user.account_name)
        return line

    def happened(self, line: bytes, chat: ChatId, time: int, rev: int = 0) -> bytes:
        """A line about an event, with its id, which has the event's time in the history. `rev`: the number of a change
        of a message, because several changes may have the same time."""
        if time and self.has("message-tags"):
            line = with_tag(line, "msgid", f"{chat}-{HAPPENING}{time}" + (f".{rev}" if rev else ""))
        return with_tag(line, "time", utc_time(time)) if time and self.has("server-time") else line

    def numeric(self, numeric: str, *words: object, last: str | None = None) -> bytes:
        return encode_line(numeric, self.nick, *words, last=last, source=self.server)

    def own(self, command: str, *words: object, last: str | None = None) -> bytes:
        """A line about an action of the account itself."""
        return encode_line(command, *words, last=last, source=self.mask)

    def line(self, command: str, *words: object, last: str | None = None, source: str = "") -> bytes:
        """Make a line. Without a `source`, the server is the source."""
        return encode_line(command, *words, last=last, source=source or self.server)

    def notice(self, text: str, target: str = "", source: str = "") -> bytes:
        return encode_line("NOTICE", target or self.nick, last=text, source=source or self.server)

    def fail(self, command: str, failure: Failure, *words: str, code: str = "") -> bytes:
        text = failure.words
        return encode_line(
            "FAIL", word(command), code or _FAIL_CODES[failure.code], *words, last=text, source=self.server
        )

    def warn(self, command: str, code: str, text: str) -> bytes:
        return encode_line("WARN", command, code, last=text, source=self.server)

    def failing(self, command: str, *words: str, code: str = "") -> Callable[[Failure], Lines]:
        """A function that writes a failure as a FAIL line of this command."""
        return lambda failure: [self.fail(command, failure, *words, code=code)]

    def reject(self, rejection: LineRejection, failure: Failure) -> tuple[Outgoing, ...]:
        return rejection.answer.only(self.rejected(rejection, failure))

    def rejected(self, rejection: LineRejection, failure: Failure) -> bytes:
        if rejection.numeric:
            return self.numeric(rejection.numeric, *rejection.words, last=failure.words)
        return self.fail(rejection.answer.command or NOBODY, failure, *rejection.words, code=rejection.code)

    def each(self, targets: Iterable[str], handle: Callable[[str], Lines]) -> Iterator[bytes]:
        """Handles each target. A rejected target gets its error, and the others are still handled."""
        for target in targets:
            try:
                yield from handle(target)
            except DecodeError as error:
                if not isinstance(error.context, LineRejection):
                    raise
                yield self.rejected(error.context, error.failure)

    def batch(self, kind: str, lines: Iterable[bytes], *words: str) -> Iterator[bytes]:
        name = self.new_batch()
        yield self.line("BATCH", f"+{name}", kind, *words)
        yield from in_batch(lines, name)
        yield self.line("BATCH", f"-{name}")

    # Requests

    def take_requests(self) -> tuple[Request, ...]:
        """Take the requests that an event or a login has caused."""
        requests = tuple([action for action in self.follow_ups if isinstance(action, Request)])
        self.follow_ups.clear()
        return requests

    def request(
        self,
        command: Command,
        answer: Answer,
        done: Callable[[Any], Lines],
        failed: Callable[[Failure], Lines] | None = None,
        token: str = "",
    ) -> Lines:
        """Make a request that the edge performs after this line or reply. Without `failed`, a failure becomes a FAIL
        line. Returns no lines, because `done` and `failed` write them later."""
        answer.opened += 1
        self.waiting = answer if answer.label else None
        self.follow_ups.append(Request(command, Task(answer, done, failed or self.failing(answer.command)), token))
        return ()


def targets(line: Line, answer: Answer, most: int = MOST_TARGETS) -> list[str]:
    """The names in the first parameter, each once. Raises DecodeError."""
    text = ",".join(line.parameters[:1])
    names = list(dict.fromkeys(filter(None, text.split(","))))
    if len(names) > most:
        raise rejection(answer, "407", f"At most {most} targets", text, code=ErrorCode.LIMIT)
    return names


def rejection(
    answer: Answer, numeric: str, text: str, *words: str, code: ErrorCode = ErrorCode.INVALID, fail: str = ""
) -> DecodeError:
    """Return an exception that rejects the line with this numeric reply or, if `numeric` is empty, with a FAIL."""
    return DecodeError(text, code, LineRejection(answer, numeric, tuple(word(each) for each in words), fail))
