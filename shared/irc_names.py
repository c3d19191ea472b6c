"""The names of accounts on IRC (`nick!user@host`), the masks that match such names, and the names of groups and
messages there."""

import re
import unicodedata
from typing import NamedTuple

from shared.contract.ids import AccountId, ChatId
from shared.setting_types import Language

NICK_CHARACTERS = 32
_NICK = re.compile(r"[A-Za-z\[\]\\^_{|}][A-Za-z0-9\[\]\\^_{|}`-]{0,31}")
_NUMBERED = re.compile(r".*\|[0-9]+")
_NOT_IN_NICKS = re.compile(r"[^A-Za-z0-9\[\]\\^_{}`-]")
_NOT_FIRST = "0123456789-`"
NICKSERV = "nickserv"
"""The nick to which IRC users send their passwords by habit. Nobody can have this nick."""
LOBBY = ChatId(1)
LOBBY_NAME = "#lobby"
_SLUG_CHARACTERS = 32
_NOT_IN_SLUGS = re.compile(r"[^A-Za-z0-9_-]+")
_GUEST = {"zh": "{}（访客）", "en": "{} (guest)"}


class IrcName(NamedTuple):
    """The names of a user on IRC. The host is made of the account's number, so that it reveals no IP address."""

    nick: str
    user: str
    host: str

    @property
    def mask(self) -> str:
        return f"{self.nick}!{self.user}@{self.host}"


def irc_names(account: AccountId, nickname: str, nick: str, guest: str, server: str) -> IrcName:
    """The names of an account on IRC. For `nickname`, `nick` and `guest`, see Profile. `server`: the server's name."""
    return IrcName(nick or nick_of(account, nickname), guest or f"u{account}", f"{account}.{server}")


def nick_of(account: AccountId, nickname: str) -> str:
    """The nick of an account whose username cannot be a nick. The nick ends with the account's number."""
    folded = _NOT_IN_NICKS.sub("", "_".join(ascii_text(nickname).split())).lstrip(_NOT_FIRST)
    number = f"|{account}"
    return (folded or "user")[: NICK_CHARACTERS - len(number)] + number


def ascii_text(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def is_nick(name: str) -> bool:
    """Whether a username, or the choice of a guest, can be a nick. Nicks that end with `|` and a number are reserved
    for the server."""
    return _NICK.fullmatch(name) is not None and _NUMBERED.fullmatch(name) is None and name.lower() != NICKSERV


def guest_nickname(nick: str, language: Language) -> str:
    """The nickname of a guest. It shows users of every dialect that the account is a guest."""
    return _GUEST[language].format(nick)


def channel_name(chat: ChatId, handle: str, name: str) -> str:
    return f"#{handle}" if handle else numbered_channel(chat, name)


def numbered_channel(chat: ChatId, name: str) -> str:
    if chat == LOBBY:
        return LOBBY_NAME
    slug = _NOT_IN_SLUGS.sub("-", ascii_text(name)).strip("-")[:_SLUG_CHARACTERS]
    return f"#{slug or 'chat'}~{chat}"


def message_id(chat: ChatId, index: int) -> str:
    return f"{chat}-{index}"


def full_mask(text: str) -> str:
    """Complete a mask to `nick!user@host`. A missing part becomes *."""
    if text.startswith("m:"):
        return f"m:{full_mask(text[2:])}"
    if text.startswith("a:"):
        return text
    nick, bang, rest = text.partition("!")
    if not bang:
        nick, rest = ("*", text) if "@" in text else (text, "")
    user, _, host = rest.partition("@")
    return f"{nick or '*'}!{user or '*'}@{host or '*'}"


def mask_form(mask: str) -> str:
    """The regular expression of a mask with * and ?. It does not backtrack between stars, so that matching is fast even
    with many stars."""
    first, *rest = ("".join("." if one == "?" else re.escape(one) for one in part) for part in mask.split("*"))
    if not rest:
        return first
    return first + "".join(f"(?>.*?{part})" for part in rest[:-1]) + ".*" + rest[-1]
