"""Requests to the session service about notifications. Devices are notified by Web Push, through push services on the
Internet. Accounts without a device are notified by mail."""

import msgspec

from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Confidential
from shared.contract.routes import Ack, Forwarded, Routed

MAIL = "mail"
"""The `kind` of a subscription to mails."""
IRC = "irc"
"""The `kind` of a device whose notifications are lines of IRC."""


def mail_login(account: AccountId) -> str:
    """The `sid` of a subscription to mails. It counts as a valid login while the account has a verified e-mail
    address."""
    return f"{MAIL}{account}"


class PushKey(msgspec.Struct, frozen=True):
    """`key`: the public VAPID key of the installation (an uncompressed P-256 point in base64url), to which new
    subscriptions are bound. `mail_minutes`: the pause between two mails; 0 if no mails are sent."""

    key: str
    mail_minutes: float = 0.0


class GetPushKey(Forwarded):
    """A request for the public VAPID key. Error: `forbidden` while notifications are switched off."""

    route = Routed("session.push_key", PushKey, reads=True)


class Subscribed(msgspec.Struct, frozen=True):
    subscription: int


class Subscribe(Confidential, Forwarded):
    """Notifies a device of the login `sid` by this `endpoint` from now on. `p256dh`, `auth`: the device's keys in
    base64url. `kind`: web (a browser, which needs a public https address of the installation), unifiedpush, irc, or
    mail (to the verified address while the account has no device; without endpoint and keys). `key`: the VAPID key to
    which the subscription is bound; empty for the present key. `language`: the language of the notifications. An
    endpoint has only one subscription: if another account subscribes it, the previous subscription ends. `again`: the
    device subscribes by itself and not at the user's request; `forbidden` (gone) if the user has removed it from
    another device. Errors: `invalid`, `too_large`, `limit`, `conflict` for another key, `forbidden` while notifications
    are switched off."""

    route = Routed("session.subscribe", Subscribed)
    endpoint: str = ""
    p256dh: str = ""
    auth: str = ""
    kind: str = "web"
    key: str = ""
    language: str = ""
    sid: str = ""
    again: bool = False


class Unsubscribe(Confidential, Forwarded):
    """Ends a subscription of the actor. A repetition changes nothing. `sid`: the login that sends the request. If it is
    not the login of the device, the device must not subscribe again by itself. `endpoint`: names the subscription in
    place of the number, if the device itself sends the request."""

    route = Routed("session.unsubscribe", Ack)
    subscription: int = 0
    sid: str = ""
    endpoint: str = ""


class StopMails(Confidential, msgspec.Struct):
    """A user has opened the unsubscribe link of a mail. This ends the subscription to mails of the account that `token`
    names. A repetition changes nothing. Error: `not_found` for a token that this installation has not made."""

    route = Routed("session.stop_mails", Ack)
    token: str


class SubscriptionView(msgspec.Struct, frozen=True):
    """`origin`: the origin of the endpoint, whose path is a secret. `created`, `last_ok`: Unix milliseconds; `last_ok`
    is 0 if nothing was delivered yet. `last_error`: the error of the last attempt, if it failed."""

    subscription: int
    sid: str
    origin: str
    kind: str
    language: str
    created: int
    last_ok: int = 0
    last_error: str = ""


class SubscriptionList(msgspec.Struct, frozen=True):
    """The subscriptions, oldest first."""

    subscriptions: list[SubscriptionView]


class ListSubscriptions(Forwarded):
    """Requests the subscriptions of the actor whose logins have not ended."""

    route = Routed("session.subscriptions", SubscriptionList, reads=True)


class SendTestPush(Forwarded):
    """Sends a notification to the actor's own subscription at once. Errors: `not_found`, `unavailable` with the reason
    if the push service did not accept it."""

    route = Routed("session.test_push", Ack)
    subscription: int


class EndedLogins(msgspec.Struct, frozen=True):
    sids: list[str]


MAX_LOGINS = 1_000


class FindEndedLogins(msgspec.Struct):
    """Requests which of these logins (account, sid), at most 1,000, have ended: by a revocation, by time, or because
    the account is disabled or deleted. A `mail_login` has ended if the account has no verified address. Session sends
    this request."""

    route = Routed("auth.ended_logins", EndedLogins, reads=True)
    logins: list[tuple[AccountId, str]]


class PushDue(msgspec.Struct, frozen=True):
    """A durable event of the message service: these chats have new or changed messages."""

    chats: list[ChatId]
