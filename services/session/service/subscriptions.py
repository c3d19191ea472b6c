"""Subscriptions: the devices of an account that push services notify, and the mails to the account."""

import asyncio
from collections.abc import Collection, Iterable

import msgspec

from services.session.service.mail_digests import MailLinks, mail_minutes
from services.session.service.ports import PushFailed, PushResult, PushSender
from services.session.service.push_texts import PushTexts
from services.session.store import push_queue, subscriptions
from services.session.store.subscriptions import MAIL_ORIGIN, NewDevice, RemovedDevice
from shared.base64url import decode
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.push import (
    IRC,
    MAIL,
    MAX_LOGINS,
    FindEndedLogins,
    GetPushKey,
    ListSubscriptions,
    PushKey,
    SendTestPush,
    StopMails,
    Subscribe,
    Subscribed,
    SubscriptionList,
    Unsubscribe,
    mail_login,
)
from shared.contract.routes import Ack, SendRequest
from shared.outgoing_addresses import AddressRules
from shared.settings import Settings
from shared.settings.messages import PushSettings
from shared.transactions import Transactions

_REQUEST_SECONDS = 3.0
_TEST_SECONDS = 5.0
"""The time limit of a test notification. It is shorter than the time limit that an edge sets for a request."""
_ENDPOINT_BYTES = 2_048
_AUTH_BYTES = 16
_KINDS = ("web", "unifiedpush", IRC, MAIL)


class PushLogins:
    """Asks the auth service which of the devices' logins have ended. Raises RequestError when it does not answer."""

    def __init__(self, request: SendRequest) -> None:
        self._request = request

    async def ended(self, logins: Iterable[tuple[AccountId, str]]) -> Collection[str]:
        wanted, found = sorted(set(logins)), list[str]()
        for start in range(0, len(wanted), MAX_LOGINS):
            request = FindEndedLogins(wanted[start : start + MAX_LOGINS])
            found += (await self._request(request, seconds=_REQUEST_SECONDS, retry=True)).sids
        return found


def notifies(settings: PushSettings) -> bool:
    """Whether this server notifies devices."""
    return settings.enabled and bool(settings.key.get_secret_value())


class Subscriptions:
    """A subscription ends with its login. Whenever a subscription is used, the auth service is asked whether its login
    has ended. So no subscription is used after its login."""

    def __init__(
        self, database: Transactions, logins: PushLogins, sender: PushSender, texts: PushTexts, settings: Settings
    ) -> None:
        self._database = database
        self._logins = logins
        self._sender = sender
        self._texts = texts
        self._most = settings.limits.subscriptions_per_account
        self._settings = settings.push
        self._rules = AddressRules(settings.push.permitted_networks)
        self._permits_networks = bool(settings.push.permitted_networks)
        self._has_https = settings.edge.has_https
        self._links, self._mail_minutes = MailLinks(settings), mail_minutes(settings)

    async def key(self, request: GetPushKey) -> PushKey:
        return PushKey(self._require_keys()[0], self._mail_minutes)

    async def subscribe(self, request: Subscribe) -> Subscribed:
        keys = self._require_keys()
        if request.kind == MAIL:
            return await self._subscribe_to_mails(request)
        self._check(request, keys)
        if request.sid in await self._end_logins(request.actor, request.sid):
            raise RequestError(ErrorCode.UNAUTHENTICATED, "this login has ended, please log in again")
        origin = self._check_endpoint(request.endpoint)
        new = NewDevice(request, origin, request.key.rstrip("=") or keys[0])
        return Subscribed(await self._database.write(subscriptions.subscribe, new, self._most, now_ms()))

    async def _subscribe_to_mails(self, request: Subscribe) -> Subscribed:
        if not self._mail_minutes:
            text = "this server mails no notifications: its operator sets push.mail_minutes, and edge.public_url to https://…"
            raise RequestError(ErrorCode.FORBIDDEN, text, "kind", reason=Reason.SWITCHED_OFF)
        sid = mail_login(request.actor)
        if sid in await self._end_logins(request.actor, sid):
            raise RequestError(
                ErrorCode.FORBIDDEN, "mails need a verified e-mail address", "kind", reason=Reason.NOT_VERIFIED
            )
        own = msgspec.structs.replace(request, endpoint=f"{MAIL_ORIGIN}{request.actor}", sid=sid, p256dh="", auth="")
        new = NewDevice(own, MAIL_ORIGIN, "")
        return Subscribed(await self._database.write(subscriptions.subscribe, new, self._most, now_ms()))

    async def stop_mails(self, request: StopMails) -> Ack:
        account = self._links.account_of(request.token)
        await self._database.write(push_queue.remove_of_logins, account, [mail_login(account)], now_ms())
        return Ack()

    async def unsubscribe(self, request: Unsubscribe) -> Ack:
        removed = RemovedDevice(request.actor, request.subscription, request.sid, request.endpoint)
        await self._database.write(subscriptions.delete_own, removed, self._most, now_ms())
        return Ack()

    async def list_own(self, request: ListSubscriptions) -> SubscriptionList:
        await self._end_logins(request.actor)
        return SubscriptionList(await self._database.read(subscriptions.list_own, request.actor))

    async def test(self, request: SendTestPush) -> Ack:
        """Sends a test notification. Raises RequestError with the answer of the push service if it fails."""
        self._require_keys()
        device = await self._database.read(subscriptions.find_own, request.actor, request.subscription)
        if device.sid in await self._end_logins(request.actor):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such subscription", "subscription")
        if device.is_mail:
            raise RequestError(
                ErrorCode.INVALID,
                "a test needs a device, not an address for mails",
                "subscription",
                reason=Reason.CHOICE,
            )
        try:
            async with asyncio.timeout(_TEST_SECONDS):
                await self._sender.send(device, self._texts.test(device))
        except (PushFailed, TimeoutError) as failed:
            is_gone = isinstance(failed, PushFailed) and failed.result is PushResult.GONE
            if is_gone:
                await self._database.write(push_queue.remove, [device.id], now_ms())
            remedy = "subscribe again" if is_gone else "the next message repeats it"
            text = f"the push service rejected the notification ({failed or 'no response in time'}): {remedy}"
            raise RequestError(ErrorCode.UNAVAILABLE, text, "subscription") from failed
        await self._database.write(subscriptions.note_accepted, [device.id], now_ms())
        return Ack()

    async def _end_logins(self, account: AccountId, *sids: str) -> Collection[str]:
        """Removes the subscriptions of ended logins. Returns the ended logins among `sids` and among the logins of the
        account's devices."""
        held = await self._database.read(subscriptions.list_own, account)
        ended = await self._logins.ended((account, sid) for sid in (*sids, *(one.sid for one in held)))
        if ended:
            await self._database.write(push_queue.remove_of_logins, account, [*ended], now_ms())
        return ended

    # Checks

    def _require_keys(self) -> tuple[str, ...]:
        """The public key of new subscriptions, then the key of older ones."""
        if not notifies(self._settings):
            text = "notifications are switched off on this server"
            raise RequestError(ErrorCode.FORBIDDEN, text, reason=Reason.SWITCHED_OFF)
        from shared.vapid import public_text  # imported here, because cryptography takes 9 MiB

        keys = (self._settings.key.get_secret_value(), self._settings.previous_key.get_secret_value())
        return tuple(public_text(key) for key in keys if key)

    def _check(self, request: Subscribe, keys: Collection[str]) -> None:
        if request.kind not in _KINDS:
            raise RequestError(ErrorCode.INVALID, f"a subscription is {' or '.join(_KINDS)}", "kind")
        if request.kind == "web" and not self._has_https:
            text = "browsers need the address of this server: its operator sets edge.public_url to https://…"
            raise RequestError(ErrorCode.FORBIDDEN, text, reason=Reason.SWITCHED_OFF)
        if not request.sid:
            raise RequestError(
                ErrorCode.INVALID,
                "this token belongs to no login: log in again, then subscribe",
                reason=Reason.WEAK_LOGIN,
            )
        if request.key and request.key.rstrip("=") not in keys:
            text = "the key of this server has changed: unsubscribe in the browser, and subscribe with `push_key`"
            raise RequestError(ErrorCode.CONFLICT, text, "key", 0, Reason.CHANGED)
        check_device_keys(request.p256dh, request.auth)

    def _check_endpoint(self, endpoint: str) -> str:
        """Checks the endpoint and returns its origin."""
        if len(endpoint.encode()) > _ENDPOINT_BYTES:
            raise RequestError(ErrorCode.TOO_LARGE, f"an endpoint has at most {_ENDPOINT_BYTES} bytes", "endpoint")
        address = self._rules.check_endpoint(endpoint)
        if not address.is_encrypted:
            raise RequestError(ErrorCode.INVALID, "an endpoint begins with https://", "endpoint")
        if "." not in address.host and ":" not in address.host and not self._permits_networks:
            raise RequestError(ErrorCode.INVALID, "an endpoint must have the public name of a push service", "endpoint")
        return f"https://{address.authority}"


def check_device_keys(p256dh: str, auth: str) -> None:
    """Raises RequestError."""
    from shared.vapid import public_key  # imported here, because cryptography takes 9 MiB

    try:
        public_key(decode(p256dh))
    except ValueError as error:
        text = "p256dh is an uncompressed P-256 point (65 bytes) in base64url"
        raise RequestError(ErrorCode.INVALID, text, "p256dh") from error
    try:
        is_right = len(decode(auth)) == _AUTH_BYTES
    except ValueError:
        is_right = False
    if not is_right:
        raise RequestError(ErrorCode.INVALID, f"auth is {_AUTH_BYTES} bytes in base64url", "auth")
