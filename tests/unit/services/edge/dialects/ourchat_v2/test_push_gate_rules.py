"""Checks the frames of a client against the rules of the push gate of v2, for random orders of events.

The rules are written here a second time, as conditions on one moment. The dialect itself keeps a state instead.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.contract.ids import ChatId
from tests.unit.services.edge.dialects.ourchat_v2.scenario import OTHER, ClientFrame, V2Scenario

SECOND, APART, HAIR = 1.0, 0.05, 1e-9
AT_LOGIN = (1, 2, 3)
CHATS = (*AT_LOGIN, 4, 5, 6)

chats = st.sampled_from(CHATS)


class PushGateMachine(RuleBasedStateMachine):
    """A client that logs in and sends requests while events arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.scenario = V2Scenario()
        self.logged_in_at = self.scenario.now
        self.first_account: float | None = None
        self.pc_client_since: float | None = None
        self.listed: dict[int, float] = {}
        self.announced_at: dict[int, float] = {}
        self.joined: set[int] = set()
        self.own: set[tuple[int, int]] = set()
        self.posted: set[tuple[int, float]] = set()
        """The chat and the time of each of the client's own messages. Held messages must come before them."""
        self.synced: float | None = None
        self.checked = 0

    # Steps

    @initialize(known=st.booleans())
    def log_in(self, known: bool) -> None:
        self.scenario.log_in(*AT_LOGIN, known=known)
        self.synced = self.scenario.now if known else None

    @precondition(lambda self: self.synced is None)
    @rule()
    def sync(self) -> None:
        self.scenario.load_chats(*AT_LOGIN)
        self.synced = self.scenario.now

    @rule(hundredths=st.sampled_from([0, 1, 4, 5, 6, 30, 94, 95, 100, 101, 150]))
    def wait(self, hundredths: int) -> None:
        self.scenario.wait(hundredths / 100)

    @rule(pc_client=st.booleans())
    def request_account(self, pc_client: bool) -> None:
        if pc_client and self.pc_client_since is None:
            self.pc_client_since = self.scenario.now
        self.scenario.request_account(pc_client=pc_client)
        if self.first_account is None:
            self.first_account = self.scenario.now

    @rule(chat=chats)
    def request_session(self, chat: int) -> None:
        self.scenario.request_session(chat)
        self.listed.setdefault(chat, self.scenario.now)

    @rule(meanwhile=st.lists(chats, max_size=3))
    def create(self, meanwhile: list[int]) -> None:
        self.joined.update(meanwhile)
        new = 10 + len(self.announced_at)
        self.scenario.create(new, *meanwhile, new)

    @precondition(lambda self: self.synced is not None)
    @rule(chat=chats, times=st.integers(1, 3))
    def receive(self, chat: int, times: int) -> None:
        for _ in range(times):
            self.scenario.receive(chat)

    @rule(chat=chats)
    def join(self, chat: int) -> None:
        self.joined.add(chat)
        self.scenario.join(chat)

    @rule(chat=st.sampled_from(AT_LOGIN))
    def send(self, chat: int) -> None:
        if self.pc_client_since is None or chat in self.listed:
            self.posted.add((chat, self.scenario.now))
        self.scenario.send(chat)
        self.own.add((chat, self.scenario.indexes[chat]))

    # Invariants

    @invariant()
    def every_shown_frame_was_allowed(self) -> None:
        for seen in self.scenario.seen[self.checked :]:
            if seen.code == 9:
                assert self.may_be_announced(seen)
                self.announced_at[seen.chat] = seen.at
            elif seen.code == 0 and (seen.chat, seen.index) not in self.own:
                assert self.may_be_shown(seen), seen
        self.checked = len(self.scenario.seen)

    def may_be_announced(self, seen: ClientFrame) -> bool:
        at_login = seen.chat in AT_LOGIN and seen.chat not in self.joined
        known = at_login or seen.chat in self.announced_at or seen.chat in self.listed
        created = seen.chat >= 10
        return created or (self.may_push(seen.at) and not known)

    def may_push(self, at: float) -> bool:
        """Returns whether messages may be pushed.

        The sync is loaded, and either a second has passed, or a frame with code 10 has just got its reply.
        """
        answered = self.first_account is not None and at >= self.first_account + APART - HAIR
        return self.synced is not None and (answered or at >= self.logged_in_at + SECOND - HAIR)

    @invariant()
    def own_messages_keep_the_order_of_the_chat(self) -> None:
        if self.pc_client_since is None:
            for chat in AT_LOGIN:
                shown = [index for _, _, index in self.scenario.messages(chat)]
                assert shown == sorted(shown)

    def may_be_shown(self, seen: ClientFrame) -> bool:
        if (seen.chat, seen.at) in self.posted:
            return True
        requested = seen.chat in self.listed and seen.at >= self.listed[seen.chat] + APART - HAIR
        later = seen.at >= self.logged_in_at + SECOND - HAIR
        if self.pc_client_since is not None and seen.at >= self.pc_client_since:
            return self.may_push(seen.at) and requested and later
        announced = seen.chat in self.announced_at and seen.at >= self.announced_at[seen.chat] + SECOND - HAIR
        listed = seen.chat in self.listed
        return self.may_push(seen.at) and (listed or (later and (seen.chat in AT_LOGIN or announced)))

    @invariant()
    def each_message_is_shown_at_most_once_and_in_order(self) -> None:
        for chat in CHATS:
            shown = [message.index for message in self.scenario.pushed if message.chat == chat]
            assert shown == sorted(set(shown))

    @invariant()
    def held_bytes_count_what_is_held(self) -> None:
        waiting = self.waiting()
        assert bool(waiting) == (self.scenario.gate.held_bytes > 0)
        assert self.scenario.gate.free.isdisjoint(map(ChatId, waiting))

    def waiting(self) -> set[int]:
        """Returns the chats with messages that the client has not been shown yet."""
        shown = {(message.chat, message.index) for message in self.scenario.pushed} | self.own
        sent = {(chat, index + 1) for chat, last in self.scenario.indexes.items() for index in range(last)}
        return {chat for chat, _ in sent - shown}

    def teardown(self) -> None:
        """At the end, after all requests and enough time, no message is lost."""
        if self.synced is None:
            self.sync()
        self.scenario.wait(3)
        self.every_shown_frame_was_allowed()
        assert self.pc_client_since is not None or not self.waiting()
        assert self.waiting().isdisjoint(self.listed)
        for chat in CHATS:
            self.request_session(chat)
        self.scenario.wait(3)
        self.every_shown_frame_was_allowed()
        assert not self.waiting()
        assert self.scenario.gate.held_bytes == 0
        assert self.scenario.gate.wake_at is None
        assert all(message.sender == OTHER for message in self.scenario.pushed)


TestPushGate = PushGateMachine.TestCase
TestPushGate.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
