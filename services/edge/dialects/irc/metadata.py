"""Handles METADATA: texts of users and channels, stored under keys."""

from collections.abc import Callable, Iterator
from functools import partial

from services.edge.canonical.commands import Command
from services.edge.dialects.addresses import stored_address
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.channels import find_chat
from services.edge.dialects.irc.lines import Line, fill_lines, plain, word
from services.edge.dialects.irc.names import User, fold, is_channel
from services.edge.dialects.irc.session import NOBODY, Answer, IrcSession, Lines, rejection
from services.edge.dialects.irc.subscriptions import MOST_SUBSCRIPTIONS, sync_chat, sync_later, value_line
from services.edge.dialects.irc.users import NO_NICK, find_user
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.metadata import (
    AVATAR,
    KEY,
    MOST_BYTES,
    MOST_KEYS,
    NO_CHAT,
    PROFILE_KEYS,
    ListMetadata,
    MetadataList,
    SetMetadata,
)
from shared.contract.routes import Ack
from shared.contract.session import SetProfile

LIMITS = f"before-connect,max-subs={MOST_SUBSCRIPTIONS},max-keys={MOST_KEYS},max-value-bytes={MOST_BYTES}"
_WORDS_BYTES = 300
_Found = Callable[[AccountId, ChatId, str], Lines]
"""The function that is called with the account or the group that was found, and with the name to show for it."""


def metadata(session: IrcSession, line: Line, answer: Answer) -> Lines:
    target, subcommand, *rest = line.parameters
    keys = [key.lower() for key in rest]
    match subcommand.upper():
        case "SUB":
            return _subscribe(session, keys)
        case "UNSUB":
            session.subscribed = [key for key in session.subscribed if key not in keys]
            return _keys(session, "771", keys)
        case "SUBS":
            return _keys(session, "772", session.subscribed)
        case "GET" if keys:
            return _with_target(session, target, answer, partial(_get, session, answer, keys))
        case "LIST":
            return _with_target(session, target, answer, partial(_get, session, answer, []))
        case "SYNC":
            return _with_target(session, target, answer, partial(_sync, session, answer))
        case "SET" if keys and keys[0]:
            return _with_target(session, target, answer, partial(_set, session, answer, keys[0], "".join(rest[1:2])))
        case "CLEAR":
            return _with_target(session, target, answer, partial(_set, session, answer, "", ""))
        case "GET" | "SET":
            raise rejection(answer, "461", "A key is missing", "METADATA")
    raise rejection(answer, "", "There is no such subcommand", subcommand, fail="SUBCOMMAND_INVALID")


def metadata_before_welcome(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle METADATA before the welcome. The client's own values are kept here, and stored once its account is
    known."""
    target, subcommand, *rest = line.parameters
    if subcommand.upper() != "SET" or not rest or target != NOBODY:
        return metadata(session, line._replace(parameters=[NOBODY, subcommand, *rest]), answer)
    key, value = rest[0].lower(), "".join(rest[1:2])
    if failure := _rejected(key, value, len(session.early_metadata.keys() - {key})):
        return [_failed(session, failure, NOBODY, key)]
    session.early_metadata[key] = value
    return [value_line(session, NOBODY, key, value)]


def show_own(session: IrcSession, answer: Answer) -> None:
    """Store the values that the client has set before the welcome, and show all values of the account."""

    def fail(key: str) -> Callable[[Failure], Lines]:
        return lambda failure: [_failed(session, failure, session.nick, key)]

    for key, value in session.early_metadata.items():
        try:
            session.request(_setting(session, key, value, session.account), answer, lambda _: (), fail(key))
        except DecodeError as error:
            answer.follow(fail(key)(error.failure))
    session.early_metadata.clear()
    _get(session, answer, [], session.account, NO_CHAT, session.nick)


def _rejected(key: str, value: str, present: int) -> Failure | None:
    if not KEY.fullmatch(key):
        return Failure(ErrorCode.INVALID, "This is no key", "key")
    if len(value.encode()) > MOST_BYTES:
        return Failure(ErrorCode.TOO_LARGE, f"A value has at most {MOST_BYTES} bytes", "value")
    return Failure(ErrorCode.LIMIT, f"At most {MOST_KEYS} keys", "key") if present >= MOST_KEYS else None


def _with_target(session: IrcSession, target: str, answer: Answer, found: _Found) -> Lines:
    missing = session.failing("METADATA", word(target), code="INVALID_TARGET")
    if session.account == NO_ACCOUNT:
        return missing(Failure(ErrorCode.UNAUTHENTICATED, "You are not logged in"))
    if is_channel(target):
        return find_chat(session, target, answer, lambda chat: found(NO_ACCOUNT, chat, word(target)), missing)
    if target == NOBODY or fold(target) == fold(session.nick):
        return found(session.account, NO_CHAT, session.nick)
    user_found: Callable[[User], Lines] = lambda user: found(user.account, NO_CHAT, user.nick)  # noqa: E731
    return find_user(session, target, answer, user_found, lambda: missing(Failure(ErrorCode.NOT_FOUND, NO_NICK)))


def _failed(session: IrcSession, failure: Failure, target: str, key: str) -> bytes:
    match failure.code:
        case ErrorCode.FORBIDDEN:
            return session.fail("METADATA", failure, target, key or NOBODY, code="KEY_NO_PERMISSION")
        case ErrorCode.TOO_LARGE | ErrorCode.INVALID:
            code = "KEY_INVALID" if failure.field == "key" else "INVALID_VALUE"
            return session.fail("METADATA", failure, word(key), code=code)
        case ErrorCode.LIMIT:
            return session.fail("METADATA", failure, target, code="LIMIT_REACHED")
    return session.fail("METADATA", failure, target)


def _get(session: IrcSession, answer: Answer, keys: list[str], account: AccountId, chat: ChatId, name: str) -> Lines:
    """Handle GET, and LIST, which has no keys."""

    def listed(found: MetadataList) -> Lines:
        values = {one.key: one.value for one in found.values}
        return session.batch("metadata", _value_lines(session, name, keys or [*values], values), name)

    wanted = tuple(key for key in keys if KEY.fullmatch(key))
    failed = session.failing("METADATA", name, code="INVALID_TARGET")
    return session.request(ListMetadata(account, chat, wanted), answer, listed, failed)


def _value_lines(session: IrcSession, name: str, keys: list[str], values: dict[str, str]) -> Iterator[bytes]:
    for key in keys:
        if KEY.fullmatch(key):
            yield value_line(session, name, key, values.get(key, ""))
        else:
            yield _failed(session, Failure(ErrorCode.INVALID, "This is no key", "key"), name, key)


def _set(
    session: IrcSession, answer: Answer, key: str, value: str, account: AccountId, chat: ChatId, name: str
) -> Lines:
    """Handle SET, and CLEAR, which has no key."""

    def done(found: MetadataList | Ack) -> Lines:
        if key or isinstance(found, Ack):
            return [value_line(session, name, key, value)]
        return session.batch("metadata", [value_line(session, name, one.key, "") for one in found.values], name)

    def failed(failure: Failure) -> Lines:
        return [_failed(session, failure, name, key)]

    if key and (failure := _rejected(key, value, 0)):
        return failed(failure)
    try:
        command = _setting(session, key, value, account, chat)
    except DecodeError as error:
        return failed(error.failure)
    return session.request(command, answer, done, failed)


def _setting(session: IrcSession, key: str, value: str, account: AccountId, chat: ChatId = NO_CHAT) -> Command:
    """The request that sets a value. Without a display name, the nickname is as far as possible the nick. Raises
    DecodeError."""
    if account != session.account or session.is_guest or key not in PROFILE_KEYS:
        return SetMetadata(key, value, account, chat)
    if key == AVATAR:
        return SetProfile(account, avatar=stored_address(value, session.info.limits), avatar_hash="")
    return SetProfile(account, plain(value) or session.nick.removesuffix(f"|{account}"))


def _sync(session: IrcSession, answer: Answer, account: AccountId, chat: ChatId, name: str) -> Lines:
    if not session.subscribed:
        return session.batch("metadata", (), name)
    if chat:
        return sync_chat(session, chat, name, answer, requested=True)
    return _get(session, answer, [*session.subscribed], account, chat, name)


# Subscriptions


def _subscribe(session: IrcSession, keys: list[str]) -> Iterator[bytes]:
    added: list[str] = []
    for key in keys:
        if not KEY.fullmatch(key):
            yield _failed(session, Failure(ErrorCode.INVALID, "This is no key", "key"), NOBODY, key)
        elif key not in session.subscribed and len(session.subscribed) >= MOST_SUBSCRIPTIONS:
            failure = Failure(ErrorCode.LIMIT, f"At most {MOST_SUBSCRIPTIONS} subscriptions")
            yield session.fail("METADATA", failure, word(key), code="TOO_MANY_SUBS")
            break
        else:
            added.append(key)
            session.subscribed += [key] if key not in session.subscribed else []
    yield from _keys(session, "770", added)
    for channel in session.channels.values() if added else ():
        if channel.shown and not channel.hidden:
            yield from sync_later(session, channel.name)


def _keys(session: IrcSession, numeric: str, keys: list[str]) -> Iterator[bytes]:
    for line in fill_lines(map(word, keys), _WORDS_BYTES):
        yield session.numeric(numeric, *line.split(" "))
