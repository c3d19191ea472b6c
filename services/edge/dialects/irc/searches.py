"""Handles SEARCH (soju.im/search), which finds messages. Its `text` is in the query language of all protocols."""

from collections.abc import Iterator, Mapping

from services.edge.canonical.replies import MessagesFound
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.channels import find_chat
from services.edge.dialects.irc.history import ANSWER_BYTES, LARGEST, lines_of, unix_ms
from services.edge.dialects.irc.lines import Line, parse_tags, word
from services.edge.dialects.irc.messages import MessageStyle
from services.edge.dialects.irc.names import is_channel
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection
from services.edge.dialects.irc.users import find_user
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.search import MAX_HITS, SearchMessages

CAPABILITY = "soju.im/search"
_INCOMPLETE = "The search index is being built, so messages may be missing here"
_ATTRIBUTES = frozenset({"in", "from", "after", "before", "text", "limit"})
_WRONG = frozenset({ErrorCode.INVALID, ErrorCode.TOO_LARGE, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND})
"""The errors that another search might not have."""


def search(session: IrcSession, line: Line, answer: Answer, style: MessageStyle, now: float) -> Lines:
    """Answer with the first messages that match from the time `after` on or, without it, with the newest. The oldest of
    them comes first."""
    if not session.has(CAPABILITY):
        raise rejection(answer, "421", "There is no such command", "SEARCH")
    attributes = parse_tags("".join(line.parameters[:1]))
    request = _request(attributes, answer)
    if session.info.limits.rates and not session.searches.take(now):
        raise rejection(answer, "", "Too many searches", code=ErrorCode.RATE_LIMITED, fail="RATE_LIMITED")
    chat, sender = attributes.get("in", ""), attributes.get("from", "")

    def found(reply: MessagesFound) -> Lines:
        channel = word(chat) if is_channel(chat) else ""
        lines = _batch(session, _lines(session, reply, style, channel, oldest_first=request.oldest_first))
        return lines if reply.page.indexed_to else (session.warn("SEARCH", "INDEX_INCOMPLETE", _INCOMPLETE), *lines)

    def failed(failure: Failure) -> Lines:
        return [session.fail("SEARCH", failure, code="INVALID_PARAMS" if failure.code in _WRONG else "INTERNAL_ERROR")]

    def send(account: AccountId) -> Lines:
        request.sender = account
        return session.request(request, answer, found, failed)

    def with_chat(number: ChatId) -> Lines:
        request.chat = number
        if not sender:
            return send(NO_ACCOUNT)
        return find_user(session, sender, answer, lambda user: send(user.account), lambda: _batch(session, ()))

    missing = session.failing("SEARCH", "in", code="INVALID_PARAMS")
    if is_channel(chat):
        return find_chat(session, chat, answer, with_chat, missing)
    private = session.private_chat(chat) if chat else ChatId(0)
    return missing(Failure(ErrorCode.NOT_FOUND, "There is no such chat")) if private is None else with_chat(private)


def _request(attributes: Mapping[str, str], answer: Answer) -> SearchMessages:
    """Return the request without its chat and sender. Raises DecodeError."""
    for name in attributes:
        if name not in _ATTRIBUTES:
            raise _invalid(answer, name, "There is no such attribute")
    after, before = (_time(attributes, name, answer) for name in ("after", "before"))
    limit = attributes.get("limit", str(MAX_HITS))
    if not (limit.isascii() and limit.isdigit()):
        raise _invalid(answer, "limit", "A number of messages is expected")
    return SearchMessages(
        attributes.get("text", ""), after=max(0, after - 1), before=before + 1 if before else LARGEST,
        count=max(1, min(int(limit[:9]), MAX_HITS)), with_hits=True, oldest_first=after > 0,
    )  # fmt: skip


def _time(attributes: Mapping[str, str], name: str, answer: Answer) -> int:
    """The time of an attribute in Unix milliseconds, or 0 without the attribute. Raises DecodeError."""
    text = attributes.get(name, "")
    time = unix_ms(text) if text else 0
    if time is None:
        raise _invalid(answer, name, "A time is expected")
    return time


def _invalid(answer: Answer, name: str, text: str) -> DecodeError:
    return rejection(answer, "", text, word(name), fail="INVALID_PARAMS")


def _batch(session: IrcSession, lines: Lines) -> Lines:
    return session.batch(CAPABILITY, lines) if session.has("batch") else lines


def _lines(
    session: IrcSession, reply: MessagesFound, style: MessageStyle, channel: str, *, oldest_first: bool
) -> Iterator[bytes]:
    """The lines of the messages, the oldest first. If they were too many for one answer, the last in the order of the
    search are left out. `channel`: the name of the searched channel, as the client has written it, or empty."""
    style = style._replace(batches=False)  # an answer has only PRIVMSG and NOTICE
    ordered = sorted(reply.around, key=lambda one: (one.message.time, one.message.chat, one.message.index))
    chosen: list[tuple[bytes, ...]] = []
    room = ANSWER_BYTES
    for shown in ordered if oldest_first else reversed(ordered):
        lines = lines_of(session, shown, style, channel)
        room -= sum(map(len, lines))
        if room < 0 and chosen:
            break
        chosen.append(lines)
    for lines in chosen if oldest_first else reversed(chosen):
        yield from lines
