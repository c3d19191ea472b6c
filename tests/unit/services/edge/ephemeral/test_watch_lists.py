"""Tests which presence change is shown to whom, without a clock and without a connection."""

from services.edge.ephemeral.presence_watch import Watcher, WatchLists
from shared.contract.ephemeral import PresenceChanged
from shared.contract.ids import AccountId
from shared.presence.states import ACTIVE, GivenState
from tests.unit.services.edge.presence.test_local_accounts import NullRecipient

ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)


def watcher(account: AccountId, *allowed: AccountId) -> Watcher:
    return Watcher(account, NullRecipient(), frozenset({BOB, CEM}), frozenset(allowed), 0.0)


def due(lists: WatchLists) -> list[PresenceChanged]:
    """Returns the changes that are due to be pushed."""
    found = list(lists.due())
    for one, changed in found:
        one.behind.discard(changed.account)
    return [changed for _, changed in found]


def test_another_text_is_a_change_which_a_hidden_account_shows_to_itself_alone() -> None:
    lists = WatchLists()
    lists.put(1, watcher(ANN, BOB))
    lists.put(2, watcher(BOB, BOB))
    for text in ("lunch", "lunch", "back at two"):
        lists.observe({BOB: GivenState("away", 5, text)})
        assert set(due(lists)) <= {PresenceChanged(BOB, "away", 5, text)}
    assert due(lists) == []
    lists.observe({BOB: GivenState("hidden", 6, "asleep")})
    assert due(lists) == [PresenceChanged(BOB, "offline"), PresenceChanged(BOB, "hidden", 6, "asleep")]
    lists.observe({BOB: GivenState("hidden", 7, "reading")})
    assert due(lists) == [PresenceChanged(BOB, "hidden", 7, "reading")]


def test_other_permissions_show_what_has_changed_alone() -> None:
    lists = WatchLists()
    lists.put(1, watcher(ANN, BOB))
    lists.put(2, watcher(CEM, CEM))
    lists.observe({BOB: ACTIVE, CEM: ACTIVE})
    due(lists)
    lists.allow(1, frozenset({BOB, CEM}), 1.0)
    assert due(lists) == [PresenceChanged(CEM, "active")]
    lists.allow(1, frozenset({CEM}), 2.0)
    assert due(lists) == [PresenceChanged(BOB, "unknown")]
    assert sorted(lists.watched()) == [CEM]
    lists.observe({CEM: ACTIVE})
    assert due(lists) == []


def test_nothing_is_due_while_permissions_are_checked() -> None:
    lists = WatchLists()
    one = watcher(ANN, BOB)
    lists.put(1, one)
    one.checked = None
    lists.observe({BOB: ACTIVE})
    assert due(lists) == []
    lists.allow(1, frozenset({BOB}), 1.0)
    assert due(lists) == [PresenceChanged(BOB, "active")]
