"""The commands that only IRC has."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Secret


@dataclass(frozen=True, slots=True)
class ReadStates:
    """Return the presence of these accounts now, to any account."""

    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class ShowAway:
    """Show the members of a chat, which the account has joined, that it is away."""

    chat: ChatId
    text: str


@dataclass(frozen=True, slots=True)
class RelayTags:
    """Show the tags of a client's TAGMSG to the other members of a chat, on IRC. With a `text`: a message of the client
    to their clients; `unanswered`: a NOTICE."""

    chat: ChatId
    tags: Mapping[str, str]
    text: str = ""
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class MonitorNicks:
    """From now on, show the connection when users with these nicks come and leave. These nicks replace all earlier
    ones."""

    nicks: frozenset[str]


@dataclass(frozen=True, slots=True)
class ShowModes:
    """Show these modes of the account to others on IRC, until it leaves this edge."""

    modes: frozenset[str]


@dataclass(frozen=True, slots=True)
class BecomeOperator:
    """The secret of an account that the setting `irc.operators` names makes the connection's account an operator of
    IRC, until it leaves this edge."""

    name: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class ActAsOperator:
    """Of an operator of IRC: closes the connections of `account`, because of `text`. Without an account, `text` is
    shown to all who want such texts."""

    text: str
    account: AccountId = NO_ACCOUNT
