"""Tests which users a message notifies, and which notifications a push service delays that does not work."""

from services.session.push_rules import (
    ChatNature,
    Notified,
    PushRecipient,
    PushServices,
    decide,
    is_quiet,
    pause_ms,
    ripe,
)
from shared.contract.body import RECALLED_BODY, pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Mention, Message, RichSegment, Text
from shared.contract.own_settings import OwnSettings
from shared.contract.session import MemberSettings

ANN, BOB = AccountId(1), AccountId(2)
NOW = 1_700_000_000_000
DELAY = 10_000
GROUP, PRIVATE, LOBBY = ChatNature(is_private=False), ChatNature(is_private=True), ChatNature(False, is_lobby=True)
HELLO = (Text("hello"),)
TO_BOB = (Mention(BOB, "@Bob"),)


def message(index: int, *segments: RichSegment, age: int = 60_000, sender: AccountId = ANN) -> Message:
    body = pack_segments(segments or HELLO)
    return Message(ChatId(5), index, MessageId(index), sender, NOW - age, body, Nonce(index))


def bob(first: int = 1, since: int = 0, blocked: frozenset[AccountId] = frozenset(), **own: object) -> PushRecipient:
    muted = own.pop("muted", MemberSettings())
    assert isinstance(muted, MemberSettings)
    return PushRecipient(BOB, first, since, OwnSettings(**own), muted, blocked)  # type: ignore[arg-type]


def notified(recipient: PushRecipient, *messages: Message, nature: ChatNature = GROUP) -> list[tuple[int, bool]]:
    found = ripe(messages or [message(1)], 0, NOW, DELAY)
    return [(one.upto, one.urgent) for one in decide(found, [recipient], nature, NOW)]


def test_the_newest_unread_message_notifies_and_a_mention_before_it_makes_it_urgent() -> None:
    assert notified(bob()) == [(1, False)]
    assert notified(bob(), message(1, *TO_BOB), message(2), message(3)) == [(3, True)]
    assert notified(bob(first=3), message(1), message(2)) == [], "read, by whatever client"
    assert notified(bob(), message(1, sender=BOB)) == []
    assert notified(bob(), message(1), message(2, sender=BOB, age=1)) == [], "an own message has read those before it"
    assert notified(bob(), message(1), message(2, sender=BOB), message(3, *TO_BOB)) == [(3, True)]


def test_levels() -> None:
    for recipient, hello, mention, private in (
        (bob(), [(1, False)], [(1, True)], [(1, True)]),
        (bob(level="mentions"), [], [(1, True)], [(1, True)]),
        (bob(level="none"), [], [], []),
        (bob(muted=MemberSettings(mentions_only=True)), [], [(1, True)], []),
        (bob(muted=MemberSettings(until=NOW + 1)), [], [], []),
        (bob(muted=MemberSettings(until=NOW - 1)), [(1, False)], [(1, True)], [(1, True)]),
        (bob(until=NOW + 1), [], [], []),
        (bob(blocked=frozenset({ANN})), [], [], []),
        (bob(since=NOW), [], [], []),
    ):
        assert notified(recipient) == hello
        assert notified(recipient, message(1, *TO_BOB)) == mention
        assert notified(recipient, nature=PRIVATE) == private


def test_in_the_lobby_only_mentions_notify_and_nothing_old_or_recalled_does() -> None:
    assert notified(bob(), nature=LOBBY) == []
    assert notified(bob(), message(1, *TO_BOB), nature=LOBBY) == [(1, True)]
    assert notified(bob(), message(1, age=8 * 86_400_000)) == []
    recalled = Message(ChatId(5), 1, MessageId(1), ANN, NOW - 60_000, RECALLED_BODY, Nonce(1))
    assert notified(bob(), recalled) == []


def test_messages_of_the_last_seconds_are_decided_later() -> None:
    found = ripe([message(4), message(5, age=9_999)], 3, NOW, DELAY, more=True)
    assert decide(found, [bob()], GROUP, NOW) == [Notified(BOB, 4, NOW - 60_000, urgent=False)]
    assert (found.upto, found.due) == (4, NOW + 1)
    assert ripe([message(5, age=1)], 4, NOW, DELAY)[2:4] == (4, NOW + 9_999)
    assert ripe([message(5)], 4, NOW, DELAY)[2:4] == (5, None)
    assert ripe([message(5)], 4, NOW, DELAY, more=True)[2:4] == (5, NOW), "the next page, at once"


def test_messages_that_a_wrong_clock_has_timed_later_are_decided_now() -> None:
    found = ripe([message(4), message(5, age=-3_600_000)], 3, NOW, DELAY)
    assert (found.upto, found.due) == (5, None)
    assert [one.upto for one in decide(found, [bob(since=NOW + 3_600_000)], GROUP, NOW)] == [5]


def test_quiet_times_are_those_of_the_zone() -> None:
    """NOW is 23:13:20 in Berlin, and 22:13:20 in UTC."""
    assert is_quiet(OwnSettings(quiet_zone="Europe/Berlin", quiet_from="23:00", quiet_to="07:00"), NOW)
    assert not is_quiet(OwnSettings(quiet_zone="Etc/UTC", quiet_from="23:00", quiet_to="07:00"), NOW)
    assert is_quiet(OwnSettings(quiet_zone="Etc/UTC", quiet_from="22:00", quiet_to="22:14"), NOW)
    assert not is_quiet(OwnSettings(quiet_zone="No/Where", quiet_from="00:00", quiet_to="23:59"), NOW)


def test_a_dead_service_delays_its_own_notifications_alone() -> None:
    services = PushServices(8)
    for _ in range(4):
        services.begin("https://dead.example")
    assert services.closed(NOW) == ["https://dead.example"], "half of all places"
    assert services.has_place("https://good.example", NOW)
    for _ in range(3):
        services.end("https://dead.example", NOW, works=False)
    assert not services.has_place("https://dead.example", NOW)
    services.end("https://dead.example", NOW, works=False)
    assert not services.has_place("https://dead.example", NOW + 1_999)
    assert services.has_place("https://dead.example", NOW + 2_000), "one attempt"
    assert services.has_place("https://dead.example", NOW - 3_600_000), "the clock was ahead"
    services.begin("https://dead.example")
    services.end("https://dead.example", NOW + 2_000, works=None)
    services.begin("https://dead.example")
    assert not services.has_place("https://dead.example", NOW + 2_000), "it has given no answer since"
    services.end("https://dead.example", NOW + 2_000, works=True)
    assert services.closed(NOW + 2_000) == []


def test_a_service_gets_requests_again_when_half_of_its_places_are_free() -> None:
    services, origin = PushServices(8), "https://push.example"
    assert services.most_places([]) == 4
    assert not services.is_crowded(origin), "it is not known"
    for _ in range(3):
        services.begin(origin)
    assert services.is_crowded(origin)
    assert services.closed(NOW) == [origin]
    assert services.most_places([origin]) == 4, "others have all places"
    services.end(origin, NOW, works=True)
    assert (services.closed(NOW), services.most_places([])) == ([], 2)


def test_a_slow_service_has_few_places_and_few_services_are_known() -> None:
    services = PushServices(8)
    for _ in range(2):
        services.begin("https://slow.example")
        services.end("https://slow.example", NOW, works=True, took_ms=5_000)
    services.begin("https://slow.example")
    services.end("https://slow.example", NOW, works=None)
    services.begin("https://slow.example")
    assert not services.has_place("https://slow.example", NOW)
    for number in range(2_000):
        services.begin(f"https://{number}.example")
        services.end(f"https://{number}.example", NOW, works=False)
    assert len(services._services) == services._KNOWN
    assert not services.has_place("https://slow.example", NOW), "what runs is known"


def test_pauses_double_and_are_at_least_what_the_service_demands() -> None:
    assert [pause_ms(attempts, 3_600, 0, 0) for attempts in (0, 1, 5, 40)] == [1_000, 2_000, 32_000, 3_600_000]
    assert pause_ms(0, 3_600, 120, 0) == 120_000
    assert pause_ms(0, 3_600, 0, 1) == 1_200
