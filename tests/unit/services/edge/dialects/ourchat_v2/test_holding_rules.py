"""The rules of holding back, checked against what a client saw, whatever the order of events.

The rules are written here a second time, as conditions on one moment; the dialect under test keeps state instead.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.contract.ids import ChatId
from tests.unit.services.edge.dialects.ourchat_v2.playbook import OTHER, Playbook, Seen

SECOND, APART, HAIR = 1.0, 0.05, 1e-9
AT_LOGIN = (1, 2, 3)
CHATS = (*AT_LOGIN, 4, 5, 6)

chats = st.sampled_from(CHATS)


class Conversation(RuleBasedStateMachine):
    """A client that logs in and asks for things, in a world that tells it things."""

    def __init__(self) -> None:
        super().__init__()
        self.playbook = Playbook()
        self.entered = self.playbook.now
        self.first_account: float | None = None
        self.family_since: float | None = None
        self.listed: dict[int, float] = {}
        self.heard_of: dict[int, float] = {}
        self.appeared: set[int] = set()
        self.own: set[tuple[int, int]] = set()
        self.synced: float | None = None
        self.judged = 0

    # What happens

    @initialize(known=st.booleans())
    def log_in(self, known: bool) -> None:
        self.playbook.log_in(*AT_LOGIN, known=known)
        self.synced = self.playbook.now if known else None

    @precondition(lambda self: self.synced is None)
    @rule()
    def sync(self) -> None:
        self.playbook.know(*AT_LOGIN)
        self.synced = self.playbook.now

    @rule(hundredths=st.sampled_from([0, 1, 4, 5, 6, 30, 94, 95, 100, 101, 150]))
    def wait(self, hundredths: int) -> None:
        self.playbook.wait(hundredths / 100)

    @rule(family=st.booleans())
    def ask_account(self, family: bool) -> None:
        if family and self.family_since is None:
            self.family_since = self.playbook.now
        self.playbook.ask_account(family=family)
        if self.first_account is None:
            self.first_account = self.playbook.now

    @rule(chat=chats)
    def ask_session(self, chat: int) -> None:
        self.playbook.ask_session(chat)
        self.listed.setdefault(chat, self.playbook.now)

    @rule(meanwhile=st.lists(chats, max_size=3))
    def create(self, meanwhile: list[int]) -> None:
        self.appeared.update(meanwhile)
        new = 10 + len(self.heard_of)
        self.playbook.create(new, *meanwhile, new)

    @precondition(lambda self: self.synced is not None)
    @rule(chat=chats, times=st.integers(1, 3))
    def hear(self, chat: int, times: int) -> None:
        for _ in range(times):
            self.playbook.hear(chat)

    @rule(chat=chats)
    def appear(self, chat: int) -> None:
        self.appeared.add(chat)
        self.playbook.appear(chat)

    @rule(chat=st.sampled_from(AT_LOGIN))
    def say(self, chat: int) -> None:
        self.playbook.say(chat)
        self.own.add((chat, self.playbook.indexes[chat]))

    # What must hold of it

    @invariant()
    def everything_shown_was_allowed(self) -> None:
        for seen in self.playbook.seen[self.judged :]:
            if seen.code == 9:
                assert self.may_be_announced(seen)
                self.heard_of[seen.chat] = seen.at
            elif seen.code == 0 and (seen.chat, seen.index) not in self.own:
                assert self.may_be_shown(seen), seen
        self.judged = len(self.playbook.seen)

    def may_be_announced(self, seen: Seen) -> bool:
        at_login = seen.chat in AT_LOGIN and seen.chat not in self.appeared
        known = at_login or seen.chat in self.heard_of or seen.chat in self.listed
        created = seen.chat >= 10
        return created or (self.may_push(seen.at) and not known)

    def may_push(self, at: float) -> bool:
        """The sync is there; a second has passed, or a 10 was answered a moment ago."""
        answered = self.first_account is not None and at >= self.first_account + APART - HAIR
        return self.synced is not None and (answered or at >= self.entered + SECOND - HAIR)

    def may_be_shown(self, seen: Seen) -> bool:
        asked = seen.chat in self.listed and seen.at >= self.listed[seen.chat] + APART - HAIR
        later = seen.at >= self.entered + SECOND - HAIR
        if self.family_since is not None and seen.at >= self.family_since:
            return self.may_push(seen.at) and asked and later
        told = seen.chat in self.heard_of and seen.at >= self.heard_of[seen.chat] + SECOND - HAIR
        listed = seen.chat in self.listed
        return self.may_push(seen.at) and (listed or (later and (seen.chat in AT_LOGIN or told)))

    @invariant()
    def each_message_is_shown_at_most_once_and_in_order(self) -> None:
        for chat in CHATS:
            shown = [message.index for message in self.playbook.pushed if message.chat == chat]
            assert shown == sorted(set(shown))

    @invariant()
    def what_is_held_is_known_by_size(self) -> None:
        waiting = self.waiting()
        assert bool(waiting) == (self.playbook.dialect.held_bytes > 0)
        assert all(self.playbook.dialect.must_hold(ChatId(chat)) for chat in waiting)

    def waiting(self) -> set[int]:
        """Chats with messages that were not shown yet."""
        shown = {(message.chat, message.index) for message in self.playbook.pushed} | self.own
        said = {(chat, index + 1) for chat, last in self.playbook.indexes.items() for index in range(last)}
        return {chat for chat, _ in said - shown}

    def teardown(self) -> None:
        """In the end, when everything is asked for and time has passed, nothing was lost."""
        if self.synced is None:
            self.sync()
        self.playbook.wait(3)
        self.everything_shown_was_allowed()
        assert self.family_since is not None or not self.waiting()
        assert self.waiting().isdisjoint(self.listed)
        for chat in CHATS:
            self.ask_session(chat)
        self.playbook.wait(3)
        self.everything_shown_was_allowed()
        assert not self.waiting()
        assert self.playbook.dialect.held_bytes == 0
        assert self.playbook.dialect.next_wakeup is None
        assert all(message.sender == OTHER for message in self.playbook.pushed)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
