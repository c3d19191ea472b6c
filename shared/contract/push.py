"""Requests to session: the devices that are notified by Web Push, which push services outside carry, and mails to
accounts without a device."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Forwarded, Routed

MAIL = "mail"
"""The kind of a subscription to mails."""
IRC = "irc"
"""The kind of a device whose notifications are lines of IRC."""


def mail_login(account: AccountId) -> str:
    """The `sid` of a subscription to mails: this login is valid while the account has a verified e-mail address."""
    return f"{MAIL}{account}"


class PushKey(msgspec.Struct, frozen=True):
    """`key`: the public VAPID key of the installation (an uncompressed P-256 point in base64url), to which new
    subscriptions are bound. `mail_minutes`: the pause between two mails; 0: there are none."""

    key: str
    mail_minutes: float = 0.0


class GetPushKey(Forwarded):
    """Error: `forbidden` while notifications are switched off."""

    route = Routed("session.push_key", PushKey, reads=True)
    actor: AccountId = NO_ACCOUNT


class Subscribed(msgspec.Struct, frozen=True):
    subscription: int


class Subscribe(Forwarded):
    """Notifies a device of the login `sid` by this `endpoint` from now on. `p256dh`, `auth`: the device's keys in
    base64url. `kind`: web (a browser, which needs a public https address of the installation), unifiedpush, irc, or
    mail (to the verified address, while the account has no device; needs no endpoint and keys). `key`: the VAPID key to
    which the subscription is bound; empty: the present key. `language`: of the notifications. The same endpoint is one
    subscription, also for another account. `again`: the device subscribes by itself, not its user; `forbidden` (gone)
    if the user has removed it elsewhere. Errors: `invalid`, `too_large`, `limit`, `conflict` for
    another key, `forbidden` while notifications are switched off."""

    route = Routed("session.subscribe", Subscribed)
    endpoint: str = ""
    p256dh: str = ""
    auth: str = ""
    kind: str = "web"
    key: str = ""
    language: str = ""
    sid: str = ""
    again: bool = False
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"Subscribe({self.kind!r}, {self.actor}, ***)"


class Unsubscribe(Forwarded):
    """The actor's own subscription (idempotent). `sid`: the login that asks. The device of another one does not
    subscribe by itself again. `endpoint`: instead of the number, by the device itself."""

    route = Routed("session.unsubscribe", Ack)
    subscription: int = 0
    sid: str = ""
    endpoint: str = ""
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"Unsubscribe({self.subscription}, {self.actor}, ***)"


class StopMails(msgspec.Struct):
    """The unsubscribe link of a mail was used: ends the subscription to mails of the account that `token` names
    (idempotent). Error: `not_found` for a token that this installation has not made."""

    route = Routed("session.stop_mails", Ack)
    token: str

    def __repr__(self) -> str:
        return "StopMails(***)"


class SubscriptionView(msgspec.Struct, frozen=True):
    """`origin`: the origin of the endpoint, whose path is a secret. `created`, `last_ok`: Unix milliseconds; `last_ok`
    0: nothing was delivered yet. `last_error`: the error of the last attempt, if it failed."""

    subscription: int
    sid: str
    origin: str
    kind: str
    language: str
    created: int
    last_ok: int = 0
    last_error: str = ""


class SubscriptionList(msgspec.Struct, frozen=True):
    """Oldest first."""

    subscriptions: list[SubscriptionView]


class ListSubscriptions(Forwarded):
    """Requests the subscriptions of the actor whose logins have not ended."""

    route = Routed("session.subscriptions", SubscriptionList, reads=True)
    actor: AccountId = NO_ACCOUNT


class SendTestPush(Forwarded):
    """Sends a notification to the actor's own subscription at once. Errors: `not_found`, `unavailable` with the reason
    why the push service did not take it."""

    route = Routed("session.test_push", Ack)
    subscription: int
    actor: AccountId = NO_ACCOUNT


class EndedLogins(msgspec.Struct, frozen=True):
    sids: list[str]


MAX_LOGINS = 1_000


class FindEndedLogins(msgspec.Struct):
    """Requests which of these logins (account, sid), at most 1,000, have ended: by a revocation, by time, or because
    the account is disabled or deleted. The `mail_login` has ended if the account has no verified address. Session
    sends this request."""

    route = Routed("auth.ended_logins", EndedLogins, reads=True)
    logins: list[tuple[AccountId, str]]


class PushDue(msgspec.Struct, frozen=True):
    """A durable event of message: these chats have new or changed messages."""

    chats: list[ChatId]
