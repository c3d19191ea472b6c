"""The requests to the session and auth services about the data of an account, and about its webhooks, links and bots,
which act without a login."""

import msgspec

from shared.contract.auth import LoginView, Origin
from shared.contract.bots import BotView
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Confidential
from shared.contract.routes import Ack, Routed

MADE_LISTED = 1_000
"""The most webhooks, and the most links, in one reply."""


class MadeWebhook(msgspec.Struct, frozen=True):
    """A webhook of a group. `origin`: scheme, host and port of an outgoing webhook's endpoint; empty for an incoming
    webhook. `created`: Unix milliseconds."""

    hook: str
    chat: ChatId
    by: AccountId
    name: str
    created: int
    origin: str = ""


class MadeLink(Confidential, msgspec.Struct, frozen=True):
    """A link to a group, which is a secret. For `uses` and `expires`, see CreateLink. `created`: Unix milliseconds."""

    link: str
    chat: ChatId
    uses: int
    expires: int
    created: int


class Made(msgspec.Struct, frozen=True):
    """The webhooks and links of an account. Each list begins with the newest, and has at most MADE_LISTED entries."""

    hooks: list[MadeWebhook]
    links: list[MadeLink]


class ListMade(msgspec.Struct):
    """A request for the webhooks and links that an account has made."""

    route = Routed("session.made", Made, reads=True)
    actor: AccountId = NO_ACCOUNT


class EndMade(msgspec.Struct):
    """The session service deletes the webhooks and links that an account has made. The auth service revokes the tokens
    of the account's bots."""

    route = Routed("session.end_made", Ack)
    actor: AccountId = NO_ACCOUNT


class WebhookPage(msgspec.Struct, frozen=True):
    """Webhooks in order of their identifiers. While `more` is set, continue after the last webhook."""

    hooks: list[MadeWebhook]
    more: bool = False


class ListAllWebhooks(msgspec.Struct):
    """An operator's request for webhooks: one page after the webhook `after`. `chat`, `by`: only the webhooks of this
    group or maker; 0 for all."""

    route = Routed("session.admin.hooks", WebhookPage)
    chat: ChatId = ChatId(0)
    by: AccountId = NO_ACCOUNT
    after: str = ""


class DeleteAnyWebhook(msgspec.Struct):
    """An operator deletes a webhook. Error: `not_found` if it does not exist."""

    route = Routed("session.admin.delete_hook", Ack)
    hook: str


class AccountRecord(Confidential, msgspec.Struct, frozen=True, kw_only=True):
    """The data that the auth service stores of an account. `created`: Unix milliseconds. `question_id`: the security
    question, or
    0. `logins`: newest first. `bots`: the bots that the account owns. `email_verified`: the user has received a mail at
    the address."""

    email: str
    username: str
    created: int
    question_id: int
    logins: list[LoginView]
    bots: list[BotView] = msgspec.field(default_factory=list)
    email_verified: bool = False


class ExportLogins(msgspec.Struct):
    """A request for the data that the auth service stores of an account, without the account's secrets. The audit trail
    records each request. Error: `rate_limited` above the limit `limits.exports_per_account`."""

    route = Routed("auth.export_logins", AccountRecord)
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
