"""Requests between the services: do their databases belong together?"""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class DescribeDatabase(msgspec.Struct):
    """Asks a service for the state of its database."""


class DatabaseState(msgspec.Struct, frozen=True):
    """`installation`: the identity that the databases of one installation share; empty: none yet. `agreed`: all of them
    have it. `account`, `chat`: the highest number that the service has given, or knows of; `account_time`,
    `chat_time`: no earlier than when it was given, in Unix milliseconds; 0: not known."""

    installation: str = ""
    agreed: bool = False
    account: AccountId = NO_ACCOUNT
    account_time: int = 0
    chat: ChatId = ChatId(0)
    chat_time: int = 0
