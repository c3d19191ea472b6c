"""Requests to the session service for happenings: joins, departures and changes in a group, which IRC has in its
history."""

from enum import StrEnum

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import ModeChange
from shared.contract.model import ProfileSummary
from shared.contract.routes import Forwarded, Routed


class HappeningKind(StrEnum):
    JOIN = "join"
    LEAVE = "leave"
    MODES = "modes"
    TOPIC = "topic"


class Happening(msgspec.Struct, array_like=True, frozen=True):
    """`time`: Unix ms, different for each happening of the group. `by`: the account that has acted. `account`: the
    account that has joined or left, or was removed. `text`: the topic, or the reason of a departure."""

    time: int
    kind: HappeningKind
    by: AccountId
    account: AccountId = NO_ACCOUNT
    text: str = ""
    changes: list[ModeChange] = []


class HappeningList(msgspec.Struct, frozen=True):
    """A page of happenings in order of time. `more`: there are further happenings in the direction of the request.
    `faces`: the profile summaries of all named accounts."""

    happenings: list[Happening]
    more: bool = False
    faces: dict[AccountId, ProfileSummary] = {}


class ListHappenings(Forwarded):
    """Requests the happenings of a group between two times, both excluded. The page begins with the oldest or, with
    `newest`, with the newest. Only members may send this request (`forbidden`). A member sees the happenings of the
    time whose messages it may read."""

    route = Routed("session.list_happenings", HappeningList, reads=True)
    chat: ChatId
    after: int
    before: int
    count: int
    newest: bool = False
