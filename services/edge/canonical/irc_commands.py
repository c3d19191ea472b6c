"""The commands that only IRC has."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Secret


@dataclass(frozen=True, slots=True)
class ReadStates:
    """Return the current presence of these accounts. Any account may request this."""

    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class ShowAway:
    """Show the other members of a chat, which the account has joined, that the account is away."""

    chat: ChatId
    text: str


@dataclass(frozen=True, slots=True)
class RelayTags:
    """Show the tags of a client's TAGMSG to those members of a chat who use IRC. With a `text`, show a message of this
    client instead. With `unanswered`, the message is a NOTICE."""

    chat: ChatId
    tags: Mapping[str, str]
    text: str = ""
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class MonitorNicks:
    """From now on, show the connection when users with these nicks come and leave. These nicks replace all nicks of
    earlier commands."""

    nicks: frozenset[str]


@dataclass(frozen=True, slots=True)
class ShowModes:
    """Show these modes of the account to other users of IRC, until the account leaves this edge."""

    modes: frozenset[str]


@dataclass(frozen=True, slots=True)
class BecomeOperator:
    """Make the connection's account an IRC operator until it leaves this edge. `name` and `secret` belong to an account
    that the setting `irc.operators` lists."""

    name: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class ActAsOperator:
    """Close the connections of `account`, and give `text` as the reason. Only an IRC operator may do this. Without an
    account, `text` is shown to all users who have requested such texts."""

    text: str
    account: AccountId = NO_ACCOUNT
