"""The report on one message, which is made from stored data and from the reports of edges."""

from services.cli.admin.messages import MessageReport, RecipientReport, combine, text_of
from shared.contract.audit import (
    Acceptance,
    Arrival,
    Confirmation,
    DeliveryStage,
    LocalState,
    MessageAtEdge,
    StoredMessage,
)
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce

ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
EAST, WEST = NodeId("east-1"), NodeId("west-1")


def stored(read: dict[AccountId, bool], **more: object) -> StoredMessage:
    return StoredMessage(
        chat=ChatId(7),
        index=4,
        id=MessageId(99),
        sender=ANN,
        time=1_000,
        nonce=Nonce(5),
        bytes=12,
        read=read,
        **more,  # type: ignore[arg-type]
    )


def edge(node: NodeId, **more: object) -> MessageAtEdge:
    return MessageAtEdge(node=node, remembers_from=500, **more)  # type: ignore[arg-type]


def only(report: MessageReport) -> RecipientReport:
    [recipient] = report.recipients
    return recipient


def test_a_stored_confirmation_counts_and_edges_describe_it() -> None:
    known = edge(WEST, confirmations=[Confirmation(1_200, BOB, "pipe")])
    recipient = only(combine(stored({BOB: True}), [edge(EAST), known]))
    assert (recipient.state, recipient.edge, recipient.dialects, recipient.at) == ("confirmed", WEST, ["pipe"], 1_200)
    assert only(combine(stored({BOB: True}), [edge(EAST)])).at == 0


def test_of_several_edges_the_one_that_has_got_furthest_counts() -> None:
    lost = edge(EAST, accounts=[LocalState(BOB, DeliveryStage.NO_BATCH, ["pipe"])])
    assert combine(stored({BOB: False}), [lost]).is_lost
    pushed = edge(WEST, accounts=[LocalState(BOB, DeliveryStage.PUSHED, ["ourchat-v1"])])
    recipient = only(combine(stored({BOB: False}), [lost, pushed]))
    assert (recipient.state, recipient.edge, recipient.dialects) == ("waiting", WEST, ["ourchat-v1"])


def test_a_recipient_without_an_edge_is_offline_unless_that_is_not_known() -> None:
    assert only(combine(stored({BOB: False}, nodes={}), [edge(EAST)])).state == "offline"
    assert only(combine(stored({BOB: False}, nodes={BOB: [EAST]}), [edge(EAST)])).state == "offline"
    silent = only(combine(stored({BOB: False}, nodes={BOB: [WEST]}), [edge(EAST)]))
    assert (silent.state, silent.edge) == ("unknown", WEST)
    assert only(combine(stored({BOB: False}, nodes=None), [edge(EAST)])).state == "unknown"
    assert only(combine(stored({BOB: False}, nodes={}, expired=[BOB]), [])).state == "expired"


def test_the_report_names_acceptance_and_batches() -> None:
    accepting = edge(
        EAST, acceptance=Acceptance(990, 1_010, ANN, "service"), arrivals=[Arrival(1_005, "replica-1", 3)],
        traces=["ab" * 16],
    )  # fmt: skip
    report = combine(stored({BOB: False}, nodes={}, more=4), [accepting, edge(WEST, arrivals=[Arrival(1_002, "", 0)])])
    assert (report.accepted_by, report.remembered_from) == (EAST, 500)
    assert [(one.edge, one.replica) for one in report.batches] == [(WEST, ""), (EAST, "replica-1")]
    text = text_of(report)
    for words in ("00:00:00.990 by east-1 over service", "fetched", "offline", "and 4 more", "abab"):
        assert words in text


def test_without_edges_nothing_is_made_up() -> None:
    text = text_of(combine(stored({}, nodes=None), []))
    assert text.count("no edge remembers") == 3
    assert "no edge answers" in text
