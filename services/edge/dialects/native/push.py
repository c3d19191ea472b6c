"""The dialect native: the operations of devices that are notified while no client runs (Web Push)."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.operation import EXPENSIVE, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.own_settings import Language
from services.edge.dialects.native.shapes import NoParameters, Nothing, Number, Parameters, SparseResult
from shared.contract.push import GetPushKey, ListSubscriptions, SendTestPush, Subscribe, SubscriptionList, Unsubscribe

_Key = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Za-z0-9_-]{20,128}=*$",
        examples=["BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"],
    ),
]


class PushKeyResult(SparseResult):
    """`key`: the `applicationServerKey` for the browser's `subscribe`, a P-256 point in base64url. `mail_minutes`: set
    if this server also sends mails. It is the shortest time between two mails."""

    key: str
    mail_minutes: float | UnsetType = UNSET


class SubscribeParameters(Parameters, kw_only=True):
    """`endpoint`, `p256dh` and `auth` are those of the browser's subscription. `kind`: `unifiedpush` for an Android
    app. With `mail` and without these three members, mails are sent to the verified address while the account has no
    device. `key`: the key with which the browser has subscribed. If this server has another key now, the command is
    rejected (`conflict`). `language`: the language of the notifications, as a BCP 47 tag. `again`: whether the client
    sends the command at its start, without its user. If the user has removed this device elsewhere, the command is then
    rejected (`forbidden`, gone)."""

    endpoint: Annotated[str, msgspec.Meta(examples=["https://push.example/5f2a"])] = ""
    p256dh: _Key | None = None
    auth: Annotated[str, msgspec.Meta(max_length=128, examples=["tBHItJI5svbpez7KI4CCXg"])] = ""
    kind: Literal["web", "unifiedpush", "mail"] = "web"
    key: _Key | None = None
    language: Language = ""
    again: bool = False


class SubscribeResult(msgspec.Struct):
    """The number of the subscription. If the same endpoint subscribes again, the number stays the same."""

    subscription: int


class SubscriptionParameters(Parameters, kw_only=True):
    subscription: Number


class SubscriptionInfo(SparseResult):
    """`session`: the `sid` of the login. The subscription ends with it. `here`: whether this is the subscription of
    this connection. `origin`: the push service. `kind`: as in `subscribe`, or irc. `created` and `last_ok` are Unix
    milliseconds. Without `last_ok`, nothing has been delivered yet. `last_error`: the error of the last attempt, if it
    failed."""

    subscription: int
    session: str
    origin: str
    kind: str
    created: int
    here: bool | UnsetType = UNSET
    language: str | UnsetType = UNSET
    last_ok: int | UnsetType = UNSET
    last_error: str | UnsetType = UNSET


class SubscriptionsResult(msgspec.Struct):
    """The subscriptions of the account, oldest first."""

    subscriptions: list[SubscriptionInfo]


def subscriptions(reply: SubscriptionList, caller: Caller) -> SubscriptionsResult:
    return SubscriptionsResult([
        SubscriptionInfo(
            one.subscription, one.sid, one.origin, one.kind, one.created,
            one.sid == caller.sid, one.language, one.last_ok, one.last_error,
        )
        for one in reply.subscriptions
    ])  # fmt: skip


def _subscribe(wire: SubscribeParameters, caller: Caller) -> Subscribe:
    keys = wire.endpoint, wire.p256dh or "", wire.auth
    return Subscribe(*keys, wire.kind, wire.key or "", wire.language, caller.sid, wire.again)


PUSH_OPERATIONS = (
    Operation(
        "push_key", "get the key with which a browser subscribes to notifications",
        READ, USERS, NoParameters, PushKeyResult, lambda *_: GetPushKey(),
    ),
    Operation(
        "subscribe", "notify this device of new messages, until its login ends",
        WRITE, USERS, SubscribeParameters, SubscribeResult, _subscribe,
    ),
    Operation(
        "unsubscribe", "stop notifying a device of the account",
        WRITE, USERS, SubscriptionParameters, Nothing, lambda wire, caller: Unsubscribe(wire.subscription, caller.sid),
    ),
    Operation(
        "subscriptions", "list the devices of the account that are notified",
        READ, USERS, NoParameters, SubscriptionsResult, lambda *_: ListSubscriptions(), subscriptions,
    ),
    Operation(
        "test_push", "send a test notification to a device of the account",
        EXPENSIVE, USERS, SubscriptionParameters, Nothing, lambda wire, _: SendTestPush(wire.subscription),
    ),
)  # fmt: skip
