"""`dragoman admin message`: where is a message? Combines what message has stored with what the edges know of it."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import click
import msgspec

from local.installation import Installation
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_installation, with_client
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
"""A message that is on its way for a moment is not lost: look twice."""

_STAGES = {
    DeliveryStage.CONFIRMED: ("confirmed", "has just arrived"),
    DeliveryStage.PUSHED: ("waiting", "is pushed, and its client has not confirmed it yet"),
    DeliveryStage.HELD: ("waiting", "the dialect holds it until its client can handle it"),
    DeliveryStage.QUEUED: ("waiting", "waits behind an image or file"),
    DeliveryStage.BACKLOG: ("waiting", "the client is just reading what it has missed"),
    DeliveryStage.PULLED: ("waiting", "the client has to request it: its dialect pushes none from before the login"),
    DeliveryStage.UNMARKED: ("waiting", "its client marks what is read, and has not marked it"),
    DeliveryStage.CLOSING: ("waiting", "the connection is closing; the next login gets it"),
    DeliveryStage.FETCHING: ("waiting", "the edge lacks it, and fetches it"),
    DeliveryStage.NO_ENVELOPE: ("lost", "the edge never got it, and does not know so"),
    DeliveryStage.NO_DELIVERY: ("lost", "the edge has got it, and gave it to no connection"),
    DeliveryStage.NO_RECEIPT: ("lost", "it arrived, and the confirmation was not stored"),
}


_FORGOT = "no edge remembers"


class RecipientReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: confirmed, waiting, offline, expired, unknown or lost; `reason`: in words. `dialects` and `edge`: of the
    connections that confirmed it, or that wait. `at`: of the confirmation, Unix milliseconds, 0 if it is not known."""

    account: AccountId
    state: str
    reason: str
    edge: str = ""
    dialects: list[str] = []
    at: int = 0


class ArrivalReport(msgspec.Struct, frozen=True):
    """How an edge got the message; an empty `replica`: it fetched the message itself."""

    edge: NodeId
    at: int
    replica: str
    counter: int


class MessageReport(msgspec.Struct, frozen=True, kw_only=True):
    """`accepted_by`: the edge that remembers the acknowledgement. `remembered_from`: the edges know nothing of what was
    before; 0 without edges."""

    message: StoredMessage
    accepted_by: str
    accepted: Acceptance | None
    traces: list[str]
    envelopes: list[ArrivalReport]
    recipients: list[RecipientReport]
    remembered_from: int

    @property
    def is_lost(self) -> bool:
        return any(one.state == "lost" for one in self.recipients)


async def find(client: AdminClient, query: str, *, patient: bool = True) -> list[MessageReport]:
    """`patient`: looks at a message that seems lost twice. Raises RequestError, click.UsageError."""
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
    """What is stored after the edges' replies counts: a message may be confirmed meanwhile."""
    before = await client.request(FindMessage.route, request)
    accounts = [before.sender, *before.read]
    locate = LocateMessage(before.chat, before.index, before.time, before.nonce, accounts)
    edges = await client.request_all(LocateMessage.route, locate)
    return combine(await client.request(FindMessage.route, FindMessage(before.chat, before.index)), edges)


def combine(stored: StoredMessage, edges: Sequence[MessageAtEdge]) -> MessageReport:
    """Pure."""
    accepting = [edge for edge in edges if edge.acceptance is not None]
    confirmations = {one.account: (edge, one) for edge in edges for one in edge.confirmations}
    arrivals = [ArrivalReport(edge.node, one.at, one.replica, one.counter) for edge in edges for one in edge.arrivals]
    return MessageReport(
        message=stored,
        accepted_by=accepting[0].node if accepting else "",
        accepted=accepting[0].acceptance if accepting else None,
        traces=[trace for edge in edges for trace in edge.traces],
        envelopes=sorted(arrivals, key=lambda envelope: envelope.at),
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
            account=account, state="expired", reason="is unread and too old to be pushed: see the history"
        )
    return _connected(account, edges) or _away(stored, account, edges)


def _connected(account: AccountId, edges: Sequence[MessageAtEdge]) -> RecipientReport | None:
    """At the edge that has got furthest with it; None if the account is at none."""
    order = list(DeliveryStage)
    found = [(local, edge) for edge in edges for local in edge.accounts if local.account == account]
    if not found:
        return None
    local, edge = min(found, key=lambda pair: order.index(pair[0].stage))
    state, reason = _STAGES[local.stage]
    return RecipientReport(account=account, state=state, reason=reason, edge=edge.node, dialects=local.dialects)


def _away(stored: StoredMessage, account: AccountId, edges: Sequence[MessageAtEdge]) -> RecipientReport:
    if stored.nodes is None:
        return RecipientReport(account=account, state="unknown", reason="presence does not know its edges now")
    silent = sorted(set(stored.nodes.get(account, ())) - {edge.node for edge in edges})
    if silent:
        return RecipientReport(account=account, state="unknown", reason="its edge does not answer", edge=silent[0])
    return RecipientReport(account=account, state="offline", reason="gets it at the next login")


@click.group()
def message() -> None:
    """Messages: find."""


@message.command("find")
@on_installation
@click.argument("query", metavar="MESSAGE")
@json_option
def message_find(installation: Installation, query: str, as_json: bool) -> None:
    """Show where a message is: accepted, committed, in which envelopes, and delivered to whom, or waiting for whom.

    MESSAGE is CHAT/INDEX (0: the last one), the number of a message, or the trace id of a log line.
    """
    found = with_client(installation, lambda client: find(client, query))
    format.show(found, lambda found: "\n\n".join(map(text_of, found)), as_json=as_json)


def text_of(found: MessageReport) -> str:
    one, accepted = found.message, found.accepted
    summary = format.record(
        [
            ("message", f"{one.id}, index {one.index} of chat {one.chat}, {one.bytes} bytes"),
            ("sender", f"{one.sender:010d}"),
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
        ]
    )
    sources = [
        (one.edge, format.exact(one.at), one.replica or "fetched", one.counter or "-") for one in found.envelopes
    ]
    rows = [
        (f"{one.account:010d}", one.state, one.edge, one.dialects, format.exact(one.at) if one.at else "-", one.reason)
        for one in found.recipients
    ]
    parts = [summary]
    parts += [format.table(["EDGE", "GOT IT", "FROM", "ENVELOPE"], sources)] if sources else []
    parts += [format.table(["RECIPIENT", "STATE", "EDGE", "DIALECT", "CONFIRMED", "REASON"], rows)] if rows else []
    parts += [f"and {one.more} more recipients"] if one.more else []
    return "\n\n".join(parts)
