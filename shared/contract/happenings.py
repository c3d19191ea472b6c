"""Requests to session: what has happened in a group besides its messages, which IRC has in its history."""

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
    """`time`: Unix ms, which no other happening of the group has. `by`: who has done it; `account`: who has joined or
    left, or was removed. `text`: the topic, or the reason of a departure."""

    time: int
    kind: HappeningKind
    by: AccountId
    account: AccountId = NO_ACCOUNT
    text: str = ""
    changes: list[ModeChange] = []


class HappeningList(msgspec.Struct, frozen=True):
    """In order of time. `more`: in the direction of the request. `faces`: of all that are named."""

    happenings: list[Happening]
    more: bool = False
    faces: dict[AccountId, ProfileSummary] = {}


class ListHappenings(Forwarded):
    """Requests what has happened in a group between two times, without these; from the beginning on or, with `newest`,
    from the end. Members alone may (`forbidden`), who see what they may read of the messages."""

    route = Routed("session.list_happenings", HappeningList, reads=True)
    chat: ChatId
    after: int
    before: int
    count: int
    newest: bool = False
    actor: AccountId = NO_ACCOUNT
