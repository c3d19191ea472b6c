"""The members of a chat as the message service knows them, and the rules of posting."""

from collections.abc import Iterable, Mapping

from services.message.domain import (
    BAD_NONCE,
    BLOCKED,
    DEADLINE_PASSED,
    NO_RECIPIENT,
    NOT_A_MEMBER,
    READ_ONLY_CHAT,
    SILENCED,
)
from shared.contract.body import reply_target
from shared.contract.edge import RecentJoins, recent_joins
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.message import Draft
from shared.contract.model import MemberPair, Role
from shared.contract.session import ChangeTimes, Member

_LOGGED_CHANGES = 2_000
"""The most changes that a member list keeps. In a NATS reply, these changes take about 20 KiB."""


class ChatMembers:
    """The members of a chat at `version`. `members` has for each member the first index that the member may see, and
    the first index that may be unread for the member. A reload changes this object in place, so no code may await while
    it iterates over `members`."""

    __slots__ = (
        "_changes", "_changes_from", "_last_first_index", "change_times", "changed_at", "checked_at",
        "confirmed_version", "has_webhooks", "leaders", "members", "muted", "only_sender", "pair", "speakers",
        "strangers_post", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.version = 0
        self.members: dict[AccountId, tuple[int, int]] = {}
        self.leaders: set[AccountId] = set()
        """The owner and the admins."""
        self.pair: MemberPair | None = None
        """The two members, if the chat is private. In a private chat, only the deletion of an account ends a
        membership."""
        self.only_sender = NO_ACCOUNT
        """The only member that may post; NO_ACCOUNT if every member may."""
        self.muted: Mapping[AccountId, int] = {}
        """The time (Unix ms) before which a member may not post. In a private chat, such a member is blocked by the
        other member. In a group, such a member is silenced. The entry of NO_ACCOUNT holds for all members except the
        owner, the admins and the speakers."""
        self.speakers: frozenset[AccountId] = frozenset()
        self.strangers_post = False
        """Accounts that are no members may also post. They may not quote messages, because they cannot read any."""
        self.has_webhooks = False
        """Whether the chat has outgoing webhooks."""
        self.change_times = ChangeTimes()
        self.confirmed_version = 0
        """The highest version named by Redis for which the session service has been queried."""
        self.checked_at = 0.0
        """The time of the last query to the session service, in monotonic seconds."""
        self.changed_at = 0.0
        """The time when session last returned changes, in monotonic seconds."""
        self._last_first_index = 0
        """No member has a higher first index."""
        self._changes: list[tuple[int, AccountId]] = []
        """The version and account of every change after version `_changes_from`."""
        self._changes_from = 0

    def update(self, changes: Iterable[Member], version: int) -> None:
        """Apply the changes since the member list's version, in their order. The member list then has the version
        `version`."""
        for change in changes:
            self._apply(change)
            if self.version:
                self._changes.append((change.version, change.account))
        if not self.version:
            self._changes_from = version
        elif (extra := len(self._changes) - _LOGGED_CHANGES) > 0:
            self._changes_from = self._changes[extra - 1][0]
            del self._changes[:extra]
        self.version = version

    def check_post(self, draft: Draft, now: int) -> Failure | None:
        """Check a draft before it is committed. Returns the reason to reject it, or None. `now`: Unix ms."""
        sender = draft.by or draft.sender
        if sender not in self.members and not (self.strangers_post and self.members and not reply_target(draft.body)):
            return NOT_A_MEMBER
        if self.only_sender and sender != self.only_sender:
            return READ_ONLY_CHAT
        if len(self.members) == 1 and self.pair is not None and self.pair[0] != self.pair[1]:
            return NO_RECIPIENT
        if self.muted and (failure := self.check_muted(sender, now)):
            return failure
        if draft.deadline <= now:
            return DEADLINE_PASSED
        return None if 0 <= draft.nonce < 2**63 else BAD_NONCE

    def check_muted(self, member: AccountId, now: int) -> Failure | None:
        """The reason why the member must not post or change messages; None if it may do both."""
        if self.muted.get(member, 0) > now:
            return SILENCED if self.pair is None else BLOCKED
        if self.muted.get(NO_ACCOUNT, 0) > now and member not in self.leaders and member not in self.speakers:
            return SILENCED
        return None

    def changed_since(self, version: int) -> dict[AccountId, int] | None:
        """The accounts whose membership has changed since this version, each with the first index that it may see. This
        index is 0 if the account has left. Returns None if some of the changes are unknown."""
        if not self._changes_from <= version <= self.version:
            return None
        changed: dict[AccountId, int] = {}
        for changed_at, account in reversed(self._changes):
            if changed_at <= version:
                break
            changed[account] = self.members.get(account, (0, 0))[0]
        return changed

    def recent_joins(self) -> RecentJoins | None:
        """The recent joins (see shared.contract.edge.recent_joins); None if there are none."""
        changes = ((at, account, self.members.get(account, (0, 0))[0]) for at, account in reversed(self._changes))
        recent = recent_joins(changes, self._changes_from)
        return recent if recent.joined else None

    def _apply(self, change: Member) -> None:
        """Add or update a member, or remove it if its role is LEFT."""
        if change.role >= Role.ADMIN:
            self.leaders.add(change.account)
        else:
            self.leaders.discard(change.account)
        if change.role is Role.LEFT:
            self.members.pop(change.account, None)
        else:
            first = change.first_index
            self.members[change.account] = (first, max(change.unread_from, first))
            self._last_first_index = max(self._last_first_index, first)

    def joined_after(self, index: int) -> dict[AccountId, int]:
        """The members that may not see the message with this index, each with the first index that the member may
        see."""
        if self._last_first_index <= index:
            return {}
        return {account: first for account, (first, _) in self.members.items() if first > index}
