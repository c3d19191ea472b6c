"""Durable events (JetStream): work that must be done eventually, without a waiting caller."""

import msgspec

from shared.contract.ids import AccountId, ChatId
from shared.contract.session import EnsureProfile


class AccountRegistered(msgspec.Struct, frozen=True):
    profile: EnsureProfile


class AccountDeleted(msgspec.Struct, frozen=True):
    account: AccountId


class HealthProbe(msgspec.Struct, frozen=True):
    """Stored to prove that the stream stores events; removed when it is delivered."""


class MailRequested(msgspec.Struct, frozen=True):
    """One e-mail; retried until the mail server accepts it."""

    to: str
    subject: str
    text: str
    expires: int
    """Unix milliseconds; the mail is dropped after it."""

    def __repr__(self) -> str:
        return f"MailRequested(expires={self.expires}, ***)"


class OutgoingHooksDue(msgspec.Struct, frozen=True):
    """A chat that has outgoing hooks has messages up to `index`. `hook`: this one alone, which has stopped; an operator
    who retries the event lets it go on."""

    chat: ChatId
    index: int
    hook: str = ""
