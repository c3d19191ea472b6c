"""Durable events (JetStream): work that must happen eventually though nobody waits for it."""

import msgspec

from shared.contract.ids import AccountId
from shared.contract.session import EnsureProfile


class AccountRegistered(msgspec.Struct, frozen=True):
    profile: EnsureProfile


class AccountDeleted(msgspec.Struct, frozen=True):
    account: AccountId


class MailRequested(msgspec.Struct, frozen=True):
    """One e-mail to be sent; retried until the mail server takes it."""

    to: str
    subject: str
    text: str
    expires: int
    """Unix milliseconds; after it the mail is pointless and dropped."""

    def __repr__(self) -> str:
        return f"MailRequested(expires={self.expires}, ***)"
