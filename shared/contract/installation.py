"""The requests between the services that find out whether their databases belong together."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class DescribeDatabase(msgspec.Struct):
    """A request for the state of a service's database."""


class DatabaseState(msgspec.Struct, frozen=True):
    """`installation`: the id that all databases of an installation share; empty if there is none yet. `agreed`: all
    databases have this id. `account`, `chat`: the highest numbers that the service has assigned or knows.
    `account_time`, `chat_time`: these numbers were assigned at this time (Unix milliseconds) or earlier; 0 if
    unknown."""

    installation: str = ""
    agreed: bool = False
    account: AccountId = NO_ACCOUNT
    account_time: int = 0
    chat: ChatId = ChatId(0)
    chat_time: int = 0
