"""Handles MODE, which changes settings of groups and of the connection itself, and LIST."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from services.edge.canonical.irc_commands import ShowModes
from services.edge.dialects.irc.channels import described, failing_in, find_chat
from services.edge.dialects.irc.lines import LINE_BYTES, Line, word
from services.edge.dialects.irc.names import User, channel_of
from services.edge.dialects.irc.session import Answer, Channel, IrcSession, Lines, rejection, targets
from services.edge.dialects.irc.users import find_users, no_nick
from shared.contract.directory import GroupList, GroupListed, ListGroups
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import ChangeModes, ListMasks, MaskList, ModeChange
from shared.irc_names import mask_form

_CHARACTER_BYTES = 4
"""A line that is too long is cut before a character, so it may be shorter than the longest line by almost this."""
_USER_MODES = "Biow"
_OF_USERS, _LISTS, _FLAGS = "qov", "beI", "imnstC"
_LIST_NUMERICS = {"b": ("367", "368"), "e": ("348", "349"), "I": ("346", "347")}
_TIME = re.compile(r"([CT])([<>])([0-9]{1,9})")
_KEY = re.compile(r"[!-+\--~]{1,23}")


# Changing


class _Wanted(NamedTuple):
    changes: list[ModeChange]
    lists: list[str]
    lines: list[bytes]


def mode(session: IrcSession, line: Line, answer: Answer) -> Lines:
    rest = line.parameters[1:]

    def handle(name: str) -> Lines:
        if not name.startswith("#"):
            return _user_mode(session, name, rest, answer)
        return find_chat(session, name, answer, lambda chat: _channel_mode(session, chat, name, rest, answer))

    return session.each(targets(line, answer), handle)


def _channel_mode(session: IrcSession, chat: ChatId, name: str, rest: list[str], answer: Answer) -> Lines:
    if not rest:
        failed = failing_in(session, answer, name)
        return described(session, chat, answer, lambda channel: _show(session, name, channel), failed)
    wanted = _parse(session, name, rest, answer)
    for kind in wanted.lists:
        _list_masks(session, chat, kind, name, answer)
    if wanted.changes:
        nicks = [one.text for one in wanted.changes if one.mode in _OF_USERS]
        if nicks:
            find_users(
                session, nicks, answer, lambda known: _change(session, chat, name, wanted.changes, answer, known)
            )
        else:
            _request(session, chat, name, wanted.changes, answer)
    return wanted.lines


def _change(
    session: IrcSession, chat: ChatId, name: str, changes: list[ModeChange], answer: Answer, known: dict[str, User]
) -> Lines:
    made: list[ModeChange] = []
    for one in changes:
        if one.mode not in _OF_USERS:
            made.append(one)
        elif one.text in known:
            made.append(ModeChange(one.on, one.mode, str(known[one.text].account)))
        else:
            return [no_nick(session, one.text)]
    nick = next((one.text for one in changes if one.mode in _OF_USERS), "")
    return _request(session, chat, name, made, answer, nick)


def _request(
    session: IrcSession, chat: ChatId, name: str, changes: list[ModeChange], answer: Answer, nick: str = ""
) -> Lines:
    failed = failing_in(session, answer, name, nick)
    return session.request(ChangeModes(chat, changes), answer, lambda _: (), failed)


def _parse(session: IrcSession, name: str, rest: list[str], answer: Answer) -> _Wanted:
    wanted, (flags, *words), on = _Wanted([], [], []), rest, True
    parameters = iter(words)
    for flag in flags:
        if flag in "+-":
            on = flag == "+"
        elif flag in _FLAGS:
            wanted.changes.append(ModeChange(on, flag))
        elif flag in _LISTS:
            _parse_mask(session, flag, next(parameters, ""), wanted, on=on)
        elif flag == "l" and not on:
            wanted.changes.append(ModeChange(False, "l"))
        elif flag in "kl" or flag in _OF_USERS:
            text = next(parameters, "")
            if flag == "k" and not on:
                wanted.changes.append(ModeChange(False, "k"))
            elif not text:
                missing = (word(name), flag, "*")
                wanted.lines.append(session.numeric("696", *missing, last=f"+{flag} has a parameter"))
            elif error := _invalid(flag, text):
                wanted.lines.append(session.numeric(error, word(name), *_details(error, flag, text), last="invalid"))
            else:
                wanted.changes.append(ModeChange(on, flag, text))
        else:
            wanted.lines.append(session.numeric("472", word(flag), last="There is no such mode"))
    return wanted


def _invalid(flag: str, text: str) -> str:
    """The numeric reply for a parameter that cannot be set, or an empty text."""
    if flag == "k" and _KEY.fullmatch(text) is None:
        return "525"
    if flag == "l" and not (text.isascii() and text.isdigit() and 0 < int(text[:18]) and len(text) < 18):
        return "696"
    return ""


def _details(numeric: str, flag: str, text: str) -> tuple[str, ...]:
    return (flag, word(text)) if numeric == "696" else ()


def _parse_mask(session: IrcSession, flag: str, text: str, wanted: _Wanted, *, on: bool) -> None:
    if not text:
        if flag not in wanted.lists:
            wanted.lists.append(flag)
        return
    wanted.changes.append(ModeChange(on, flag, text))


def _list_masks(session: IrcSession, chat: ChatId, kind: str, name: str, answer: Answer) -> None:
    one, end = _LIST_NUMERICS[kind]

    def listed(found: MaskList) -> Iterator[bytes]:
        for mask in found.masks:
            yield session.numeric(one, word(name), word(mask.mask), word(mask.by), mask.created // 1000)
        yield session.numeric(end, word(name), last="End of the list")

    session.request(ListMasks(chat, kind), answer, listed, failing_in(session, answer, name))


def apply_changes(channel: Channel, changes: list[ModeChange]) -> None:
    for one in changes:
        match one.mode:
            case "i":
                channel.invited = one.on
            case "m":
                channel.silenced = one.on
            case "k":
                channel.key = one.text if one.on else ""
            case "l":
                channel.most = int(one.text) if one.on else 0
            case flag if flag in _FLAGS:
                channel.modes = channel.modes.replace(flag, "") + (flag if one.on else "")


def mode_lines(
    session: IrcSession, channel: str, changes: list[ModeChange], nick: Callable[[AccountId], str], source: str
) -> list[bytes]:
    """The MODE lines of these changes, because all parameters together may be too long for one line."""
    flags, words, sign = "", [], ""
    for one in changes:
        if sign != (sign := "+" if one.on else "-"):
            flags += sign
        flags += one.mode
        if one.text:
            is_number = one.mode in _OF_USERS and one.text.isascii() and one.text.isdigit()
            words.append(nick(AccountId(int(one.text))) if is_number else word(one.text))
    line = session.line("MODE", channel, flags, *words, source=source)
    half = len(changes) // 2
    if not half or len(line) < LINE_BYTES - _CHARACTER_BYTES:
        return [line]
    parts = changes[:half], changes[half:]
    return [line for part in parts for line in mode_lines(session, channel, part, nick, source)]


# Showing


def _show(session: IrcSession, name: str, channel: Channel) -> Iterator[bytes]:
    flags = [*channel.modes, *("i" * channel.invited), *("m" * channel.silenced)]
    words: list[str] = []
    for flag, value in (("k", channel.key), ("l", str(channel.most or ""))):
        if value:
            flags.append(flag)
            words.append(word(value))
    yield session.numeric("324", word(name), f"+{''.join(flags)}", *words)
    yield session.numeric("329", word(name), channel.created)


def _user_mode(session: IrcSession, name: str, rest: list[str], answer: Answer) -> Iterator[bytes]:
    if name.lower() != session.nick.lower():
        raise rejection(answer, "502", "These are modes of another user")
    if not rest:
        yield session.numeric("221", f"+{''.join(sorted(session.user_modes))}")
        return
    on, done = True, ""
    for flag in rest[0]:
        if flag in "+-":
            on = flag == "+"
        elif flag not in _USER_MODES:
            yield session.numeric("501", last="There is no such mode of a user")
        elif not (on and flag == "o") and on is (flag not in session.user_modes):
            session.user_modes ^= {flag}
            done += f"{'+' if on else '-'}{flag}"
    if done:
        session.request(ShowModes(frozenset(session.user_modes)), answer, lambda _: ())
        yield session.line("MODE", session.nick, done, source=session.mask)


# LIST


def list_channels(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """List the open groups and the groups of the account. Raises DecodeError if there are many conditions, because each
    one takes time for each group."""
    fits = _condition(targets(line, answer), session.info.unix_ms())

    def page(found: GroupList) -> Iterator[bytes]:
        for one in found.groups:
            if fits(one):
                name, about = channel_of(one.chat), one.chat.topic
                yield session.numeric("322", name, one.size, last=about)
        if found.more and found.groups:
            session.request(ListGroups(found.groups[-1].chat.handle), answer, page)
        else:
            yield session.numeric("323", last="End of the list")

    session.request(ListGroups(), answer, page)
    return [session.numeric("321", "Channel", last="Users  Name")]


def _condition(texts: list[str], now: int) -> Callable[[GroupListed], bool]:
    """Return the function that selects groups for LIST. A group must meet all conditions about its size and about the
    minutes since its creation (C) or its topic (T). It must also match one of the names, and no excluded name."""
    times = [(found[1], found[2], int(found[3])) for text in texts if (found := _TIME.fullmatch(text))]
    texts = [text for text in texts if not _TIME.fullmatch(text)]
    sizes = [(text[0], int(text[1:])) for text in texts if text[:1] in "<>" and text[1:].isdecimal() and len(text) < 12]
    names = [text for text in texts if text[:1] not in "<>!" or text[:1] == ""]
    without = [text[1:] for text in texts if text.startswith("!")]

    def meets(one: GroupListed, kind: str, sign: str, minutes: int) -> bool:
        since = one.chat.created if kind == "C" else one.chat.topic_time
        past = (now - since) / 60_000
        return since > 0 and (past < minutes if sign == "<" else past > minutes)

    def fits(one: GroupListed) -> bool:
        name = channel_of(one.chat)
        return all(meets(one, *time) for time in times) and (
            all(one.size < number if sign == "<" else one.size > number for sign, number in sizes)
            and (not names or any(matches(text, name) for text in names if text))
            and not any(matches(text, name) for text in without)
        )

    return fits


def matches(mask: str, name: str) -> bool:
    return re.fullmatch(mask_form(mask), name, re.DOTALL | re.IGNORECASE | re.ASCII) is not None
