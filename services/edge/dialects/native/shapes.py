"""The dialect native: the types of the members of frames, and the structs that several operations share.

This module is not compiled, because msgspec cannot read the types of a compiled module.
"""

from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import AccountId, ChatId
from shared.message_event import ShownSegment

LARGEST = 2**53 - 1
_SCALAR = 2**31 - 1
LONGEST_ID = 64
"""The most characters of an id or a nonce."""

# Each type has the example that the documentation of the operations shows.

Id = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[1])] | Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
"""The id of a command. The reply has the same id."""
Account = Annotated[AccountId, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
AnyAccount = Annotated[AccountId, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""An account, or 0 for none."""
Chat = Annotated[ChatId, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
AnyChat = Annotated[ChatId, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""A chat, or 0 for none."""
Number = Annotated[int, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
"""The index of a message."""
Index = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""The number of a message or a change, or another count. 0 means none."""
UnixMs = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[1_795_263_300_000])]
Small = Annotated[int, msgspec.Meta(ge=0, le=_SCALAR, examples=[3])]
MediaId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", examples=["6f9619ff8b864d01b42d00c04fc964ff"])]
Nonce = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID, examples=["alert-1"])]

MessageText = Annotated[str, msgspec.Meta(examples=["Good morning"])]
Nickname = Annotated[str, msgspec.Meta(examples=["Ann"])]
GroupName = Annotated[str, msgspec.Meta(examples=["Hiking"])]
Handle = Annotated[str, msgspec.Meta(examples=["hiking"])]
PictureAddress = Annotated[str, msgspec.Meta(examples=["https://example.org/ann.png"])]
Username = Annotated[str, msgspec.Meta(examples=["ann"])]
Email = Annotated[str, msgspec.Meta(examples=["ann@example.org"])]
Answer = Annotated[str, msgspec.Meta(examples=["blue"])]
DeviceName = Annotated[str, msgspec.Meta(max_length=64, examples=["Ann's phone"])]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["builds"])]
"""The name that a user gives a token or a webhook."""
KeyText = Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["fZ3kQ0aT"])]
"""The name that the server gives a link, a webhook or a token. It is no secret."""

# Client to server


class Parameters(msgspec.Struct):
    """The members of every command. `op` names the operation. A command without `id` gets no reply."""

    id: Id | None = None


class NoParameters(Parameters):
    pass


class OvertakingParameters(Parameters, kw_only=True):
    """`overtaking`: from now on, replies to commands that only read may come after the replies to later commands."""

    overtaking: bool = False


class AccountParameters(Parameters, kw_only=True):
    account: Account


class ChatParameters(Parameters, kw_only=True):
    chat: Chat


class MemberParameters(ChatParameters, kw_only=True):
    account: Account


class IndexParameters(Parameters, kw_only=True):
    """The message with this index in a chat."""

    chat: Chat
    index: Number


class FastSend(msgspec.Struct, frozen=True, gc=False):
    """The most frequent command: a text to a chat, with exactly these members."""

    op: Literal["send"]
    id: int
    chat: int
    text: str
    nonce: str


# The following messages go from the server to the client. They omit each member that is UNSET.


class SparseResult(msgspec.Struct):
    def __post_init__(self) -> None:
        """Leave out members that may be UNSET if the reply's attribute is empty or 0."""
        for name in _omissible(type(self)):
            if not getattr(self, name):
                setattr(self, name, UNSET)


@cache
def _omissible(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(shape) if field.default is UNSET)


class NextAfter(msgspec.Struct):
    """The members with which the same command gets the next page."""

    after: int


def next_after(last: int, *, more: bool) -> NextAfter | UnsetType:
    return NextAfter(last) if more else UNSET


class Nothing(msgspec.Struct):
    """The operation succeeded."""


class VersionResult(SparseResult):
    """The operation succeeded. `version`: the chat's version, as in `chat`. It is left out if no chat has changed, and
    by servers of older versions."""

    version: int | UnsetType = UNSET


class SentReply(msgspec.Struct, gc=False):
    """The most frequent reply: a SendResult with the id of its command."""

    re: int | str
    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class ShownChange(msgspec.Struct):
    """A change of the message with this `index`. `rev` counts 1, 2, 3 … in the chat. `kind`: edit, recall, reaction or
    pin. `by`: the account that made the change. `segments`: the edited content. `reactions`, `mine`: all reactions, as
    in a message. `emoji`: the emoji that `by` has added or, with `on` false, removed. Normally only events have
    `emoji`. For a pin, `on` means that the message is pinned."""

    chat: int
    rev: int
    index: int
    kind: str
    by: int
    time: int
    segments: list[ShownSegment] | UnsetType = UNSET
    reactions: dict[str, int] | UnsetType = UNSET
    mine: list[str] | UnsetType = UNSET
    emoji: str | UnsetType = UNSET
    on: bool | UnsetType = UNSET


Code = Literal[
    "invalid", "unauthenticated", "forbidden", "not_found", "conflict", "limit", "too_large", "rate_limited",
    "unavailable", "internal", "unsupported",
]  # fmt: skip
WhyNot = Literal[
    "missing", "type", "range", "length", "form", "choice", "not_member", "not_admin", "not_owner",
    "not_sender", "not_friend", "not_verified", "blocked", "banned", "silenced", "closed", "too_old", "gone", "taken",
    "wrong_key", "wrong_kind", "disabled", "scope", "weak_login", "member_already", "friends_already", "changed",
    "nonce_used", "switched_off",
]  # fmt: skip


class ErrorInfo(msgspec.Struct, omit_defaults=True):
    """The error in a reply. `field`: the wrong member. `retry_ms`: the time after which to repeat the command.
    `unknown`: whether the command may have had its effect. If so, repeat a command that has a nonce with the same
    nonce. Before you repeat any other command, check whether it had its effect. `reason`: set if the code has several
    reasons. The list of reasons may grow. `request`: the id by which the operator finds the request in the log."""

    code: Code
    text: str
    field: str = ""
    retry_ms: int | UnsetType = UNSET
    unknown: bool = False
    reason: WhyNot | UnsetType = UNSET
    request: str = ""
