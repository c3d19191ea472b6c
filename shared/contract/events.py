"""Durable events, which JetStream stores. They are for work that must be done at some time, while no caller waits."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Confidential
from shared.contract.session import EnsureProfile


class AccountRegistered(msgspec.Struct, frozen=True):
    profile: EnsureProfile


class AccountDeleted(msgspec.Struct, frozen=True):
    account: AccountId


class HealthProbe(msgspec.Struct, frozen=True):
    """A probe that tests whether the stream stores events. It is removed when it is delivered."""


class MailRequested(Confidential, msgspec.Struct, frozen=True):
    """One e-mail, which is retried until the mail server accepts it. `account`: if it is set, the mail goes to the
    verified address of this account instead of `to`. `unsubscribe`: the link that ends such mails with one click (RFC
    8058), or empty."""

    to: str
    subject: str
    text: str
    expires: int
    """Unix milliseconds; after this time, the mail is dropped."""
    account: AccountId = NO_ACCOUNT
    unsubscribe: str = ""


class OutgoingWebhooksDue(msgspec.Struct, frozen=True):
    """A chat with outgoing webhooks has messages up to `index`. `hook`: if it is set, the event is a dead letter of
    this webhook, which has stopped. The webhook continues if an operator retries the event."""

    chat: ChatId
    index: int
    hook: str = ""
