"""The commands that only IRC has."""

from collections.abc import Mapping

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Secret


class ReadStates(msgspec.Struct, frozen=True):
    """Return the current presence of these accounts. Any account may request this."""

    accounts: tuple[AccountId, ...]


class ShowAway(msgspec.Struct, frozen=True):
    """Show the other members of a chat, which the account has joined, that the account is away."""

    chat: ChatId
    text: str


class RelayTags(msgspec.Struct, frozen=True):
    """Show the tags of a client's TAGMSG to those members of a chat who use IRC. With a `text`, show a message of this
    client instead. With `unanswered`, the message is a NOTICE."""

    chat: ChatId
    tags: Mapping[str, str]
    text: str = ""
    unanswered: bool = False


class MonitorNicks(msgspec.Struct, frozen=True):
    """From now on, show the connection when users with these nicks come and leave. These nicks replace all nicks of
    earlier commands."""

    nicks: frozenset[str]


class ShowModes(msgspec.Struct, frozen=True):
    """Show these modes of the account to other users of IRC, until the account leaves this edge."""

    modes: frozenset[str]


class BecomeOperator(msgspec.Struct, frozen=True):
    """Make the connection's account an IRC operator until it leaves this edge. `name` and `secret` belong to an account
    that the setting `irc.operators` lists."""

    name: str
    secret: Secret


class ActAsOperator(msgspec.Struct, frozen=True):
    """Close the connections of `account`, and give `text` as the reason. Only an IRC operator may do this. Without an
    account, `text` is shown to all users who have requested such texts."""

    text: str
    account: AccountId = NO_ACCOUNT
