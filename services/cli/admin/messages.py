"""`dragoman admin message` shows where a message is. It combines what the message service has stored with what the
edges remember about the message."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import click
import msgspec

from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, prints
from shared.contract.audit import (
    Acceptance,
    Confirmation,
    DeliveryStage,
    FindMessage,
    LocateMessage,
    MessageAtEdge,
    StoredMessage,
    TraceMessages,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce

_TRACE = re.compile(r"[0-9a-f]{32}")
_PLACE = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_ID = re.compile(r"[0-9]{1,18}")
_AGAIN_SECONDS = 3.0
"""The pause before a second lookup, because a message that seems lost may still be on its way."""

_STAGES = {
    DeliveryStage.CONFIRMED: ("confirmed", "has just arrived"),
    DeliveryStage.PUSHED: ("waiting", "was pushed; its client has not confirmed it yet"),
    DeliveryStage.HELD: ("waiting", "the edge holds the message back until the client is ready"),
    DeliveryStage.QUEUED: ("waiting", "the message waits for an image or file that is sent before it"),
    DeliveryStage.BACKLOG: ("waiting", "the client is reading the messages that it missed"),
    DeliveryStage.PULLED: ("waiting", "the client has to request the message: its protocol pushes only new messages"),
    DeliveryStage.UNMARKED: ("waiting", "the account's client has not marked the message as read"),
    DeliveryStage.CLOSING: ("waiting", "the connection is closing; the next login gets the message"),
    DeliveryStage.FETCHING: ("waiting", "the edge missed the message, and is fetching it"),
    DeliveryStage.NO_BATCH: ("lost", "the edge never got the message, and has not noticed the loss"),
    DeliveryStage.NO_DELIVERY: ("lost", "the edge got the message, but gave it to no connection"),
    DeliveryStage.NO_CONFIRMATION: ("lost", "the message arrived, but its confirmation was not stored"),
}


_FORGOT = "no edge remembers"


class RecipientReport(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient of the message. `state`: confirmed, waiting, offline, expired, unknown or lost. `reason`: the reason
    of the state, as text. `dialects` and `edge` are those of the connections that confirmed the message, or that wait
    for it. `at`: the time of the confirmation in Unix milliseconds, or 0 if it is unknown."""

    account: AccountId
    state: str
    reason: str
    edge: str = ""
    dialects: list[str] = []
    at: int = 0


class ArrivalReport(msgspec.Struct, frozen=True):
    """How an edge got the message. If `replica` is empty, the edge fetched the message itself."""

    edge: NodeId
    at: int
    replica: str
    counter: int


class MessageReport(msgspec.Struct, frozen=True, kw_only=True):
    """The path of a message. `accepted_by`: the edge that remembers the acknowledgement. `remembered_from`: the time
    from which on the edges remember messages; 0 if there is no edge."""

    message: StoredMessage
    accepted_by: str
    accepted: Acceptance | None
    traces: list[str]
    batches: list[ArrivalReport]
    recipients: list[RecipientReport]
    remembered_from: int

    @property
    def is_lost(self) -> bool:
        return any(one.state == "lost" for one in self.recipients)


async def find(client: AdminClient, query: str, *, patient: bool = True) -> list[MessageReport]:
    """Finds the messages that the query names. `patient`: a message that seems lost is looked up a second time. Raises
    RequestError, click.UsageError."""
    look = _report if patient else _look
    return [await look(client, request) for request in await _requests(client, query)]


async def _requests(client: AdminClient, query: str) -> list[FindMessage]:
    if place := _PLACE.fullmatch(query):
        return [FindMessage(ChatId(int(place[1])), int(place[2]))]
    if _ID.fullmatch(query):
        return [FindMessage(id=MessageId(int(query)))]
    if not _TRACE.fullmatch(query.lower()):
        raise click.UsageError("MESSAGE is CHAT/INDEX, the number of a message, or a trace id of 32 hex digits")
    traced = await client.request_all(TraceMessages.route, TraceMessages(query.lower()))
    nonces = [nonce for one in traced for nonce in one.nonces]
    if not nonces:
        raise RequestError(ErrorCode.NOT_FOUND, f"no edge remembers a message with the trace {query}", "trace")
    return [FindMessage(nonce=Nonce(nonce)) for nonce in nonces]


async def _report(client: AdminClient, request: FindMessage) -> MessageReport:
    report = await _look(client, request)
    if report.is_lost:
        await asyncio.sleep(_AGAIN_SECONDS)
        report = await _look(client, request)
    return report


async def _look(client: AdminClient, request: FindMessage) -> MessageReport:
    """Requests the stored data again after the edges have replied, because the message may have been confirmed in the
    meantime."""
    before = await client.send(request)
    accounts = [before.sender, *before.read]
    locate = LocateMessage(before.chat, before.index, before.time, before.nonce, accounts)
    edges = await client.request_all(LocateMessage.route, locate)
    return combine(await client.send(FindMessage(before.chat, before.index)), edges)


def combine(stored: StoredMessage, edges: Sequence[MessageAtEdge]) -> MessageReport:
    """Combines the stored data with the replies of the edges, without input or output."""
    accepting = [edge for edge in edges if edge.acceptance is not None]
    confirmations = {one.account: (edge, one) for edge in edges for one in edge.confirmations}
    arrivals = [ArrivalReport(edge.node, one.at, one.replica, one.counter) for edge in edges for one in edge.arrivals]
    return MessageReport(
        message=stored,
        accepted_by=accepting[0].node if accepting else "",
        accepted=accepting[0].acceptance if accepting else None,
        traces=[trace for edge in edges for trace in edge.traces],
        batches=sorted(arrivals, key=lambda batch: batch.at),
        recipients=[_recipient(stored, account, edges, confirmations) for account in stored.read],
        remembered_from=max((edge.remembers_from for edge in edges), default=0),
    )


def _recipient(
    stored: StoredMessage,
    account: AccountId,
    edges: Sequence[MessageAtEdge],
    confirmations: Mapping[AccountId, tuple[MessageAtEdge, Confirmation]],
) -> RecipientReport:
    if stored.read[account]:
        if account not in confirmations:
            return RecipientReport(
                account=account, state="confirmed", reason="is stored as delivered; no edge remembers when"
            )
        edge, one = confirmations[account]
        return RecipientReport(
            account=account, state="confirmed", reason="", edge=edge.node, dialects=[one.dialect], at=one.at
        )
    if account in stored.expired:
        return RecipientReport(
            account=account,
            state="expired",
            reason="the message is unread and too old to be pushed: the history has it",
        )
    return _connected(account, edges) or _away(stored, account, edges)


def _connected(account: AccountId, edges: Sequence[MessageAtEdge]) -> RecipientReport | None:
    """The report of the edge on which the message has got furthest; None if the account has no connection to an
    edge."""
    order = list(DeliveryStage)
    found = [(local, edge) for edge in edges for local in edge.accounts if local.account == account]
    if not found:
        return None
    local, edge = min(found, key=lambda pair: order.index(pair[0].stage))
    state, reason = _STAGES[local.stage]
    return RecipientReport(account=account, state=state, reason=reason, edge=edge.node, dialects=local.dialects)


def _away(stored: StoredMessage, account: AccountId, edges: Sequence[MessageAtEdge]) -> RecipientReport:
    if stored.nodes is None:
        return RecipientReport(
            account=account, state="unknown", reason="presence is unavailable, so the account's edges are unknown"
        )
    silent = sorted(set(stored.nodes.get(account, ())) - {edge.node for edge in edges})
    if silent:
        return RecipientReport(
            account=account, state="unknown", reason="the account's edge does not answer", edge=silent[0]
        )
    return RecipientReport(account=account, state="offline", reason="the account gets the message at the next login")


def _texts_of(found: Sequence[MessageReport]) -> str:
    return "\n\n".join(map(text_of, found))


def text_of(found: MessageReport) -> str:
    one, accepted = found.message, found.accepted
    summary = format.record(
        ("message", f"{one.id}, index {one.index} of chat {one.chat}, {one.bytes} bytes"),
        ("sender", format.account(one.sender)),
        (
            "accepted",
            f"{format.exact(accepted.at)} by {found.accepted_by} over {accepted.dialect}" if accepted else _FORGOT,
        ),
        ("committed", format.exact(one.time)),
        ("acknowledged", format.exact(accepted.acknowledged) if accepted else _FORGOT),
        ("trace", found.traces or _FORGOT),
        (
            "remembered",
            f"from {format.moment(found.remembered_from)} on" if found.remembered_from else "no edge answers",
        ),
    )
    sources = [(one.edge, format.exact(one.at), one.replica or "fetched", one.counter or "") for one in found.batches]
    rows = [
        (format.account(one.account), one.state, one.edge, one.dialects, format.exact(one.at), one.reason)
        for one in found.recipients
    ]
    parts = [summary]
    parts += [format.table(["EDGE", "GOT IT", "FROM", "BATCH"], sources)] if sources else []
    parts += [format.table(["RECIPIENT", "STATE", "EDGE", "DIALECT", "CONFIRMED", "REASON"], rows)] if rows else []
    parts += [f"and {one.more} more recipients"] if one.more else []
    return "\n\n".join(parts)


@click.group()
def message() -> None:
    """Messages: find."""


@message.command("find")
@prints(_texts_of)
@click.argument("query", metavar="MESSAGE")
@json_option
async def message_find(client: AdminClient, query: str) -> list[MessageReport]:
    """Show where a message is, and which accounts have it.

    The report says when the message was accepted and committed, which edges got it, which accounts received it, and for
    which accounts it waits.

    MESSAGE is CHAT/INDEX (0: the last one), the number of a message, or the trace id of a log line.
    """
    return await find(client, query)
