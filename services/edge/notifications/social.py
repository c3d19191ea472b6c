"""What happens between people, to those of them who are here: live, and at login what waits for them."""

from collections.abc import Iterable

import msgspec

from services.edge.canonical.events import Event
from services.edge.client.client import Client
from services.edge.context import EdgeContext
from shared.contract import subjects
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    Notice,
    Notify,
    ProfileChanged,
)
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.model import ProfileSummary
from shared.contract.session import DropPendingNotices, ListPendingNotices, ListRequests
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 5.0

Social = (
    ProfileChanged | FriendshipRequested | FriendshipAnswered | MembershipApplied | MembershipAnswered | ChatRenamed
)

_decode_notice: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


def notify(node: EdgeContext, notify: Notify, event: Social) -> None:
    """A notice that has just come, to the accounts it is for."""
    if isinstance(event, ProfileChanged) and (own := node.accounts.get(event.profile.id)):
        own.summary = ProfileSummary(event.profile.nickname, event.profile.uuid)
    kept = event.kept if isinstance(event, FriendshipAnswered | MembershipAnswered) else {}
    for account in _audience(node, notify, event):
        _tell_one(node, account, event, kept.get(account))


def notify_added(node: EdgeContext, created: ChatCreated) -> None:
    """Those who were put into a new group, each of itself."""
    for account, number in created.kept.items():
        _tell_one(node, account, MembershipAnswered(created.chat, created.name, account, accepted=True), number)


def _tell_one(node: EdgeContext, account: AccountId, event: Social, number: int | None) -> None:
    """`number`: by which it is kept, until it has been shown."""
    resident = node.accounts.get(account)
    if resident is None:
        return
    resident.notify(event)
    if number is not None and any(recipient.pushes_pending_requests for recipient in resident.recipients):
        node.tasks.start(_drop(node, account, [number]), "drop kept")


def _audience(node: EdgeContext, notify: Notify, event: Social) -> Iterable[AccountId]:
    if notify.recipients is not None:
        return notify.recipients
    if isinstance(event, MembershipAnswered | ChatRenamed) and (stream := node.chats.stream(event.chat)):
        return tuple(stream.members)
    return ()


async def send_pending(node: EdgeContext, client: Client) -> None:
    """Requests that wait for the account's answer, and what could not be told before."""
    account = client.connection.account
    try:
        requests = await node.bus.request(subjects.LIST_REQUESTS, ListRequests(account), seconds=_SECONDS, retry=True)
        kept = (
            await node.bus.request(
                subjects.LIST_PENDING_NOTICES, ListPendingNotices(account), seconds=_SECONDS, retry=True
            )
        ).kept
    except RequestError as refusal:
        _log.warning("requests not told", account=account, error=str(refusal))
        return
    events: list[Event] = []
    events += [FriendshipRequested(one.applicant, account, one.text) for one in requests.friendships]
    events += [MembershipApplied(one.applicant, one.chat, one.text) for one in requests.memberships]
    events += [notice for one in kept if isinstance(notice := _decode_notice.decode(one.notice), Social)]
    if client.is_closing or client.connection.account != account:
        return
    for event in events:
        client.notify(event)
    if kept:
        await _drop(node, account, [one.number for one in kept])


async def _drop(node: EdgeContext, account: AccountId, numbers: list[int]) -> None:
    """Not told again; when that cannot be said now, once too often is better than never."""
    try:
        await node.bus.request(
            subjects.DROP_PENDING_NOTICES, DropPendingNotices(numbers, account), seconds=_SECONDS, retry=True
        )
    except RequestError as refusal:
        _log.warning("kept notices not dropped", account=account, error=str(refusal))
