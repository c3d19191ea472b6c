"""native: what its frames are made of: the kinds of members, and what several operations have in common.

Nothing here is compiled: msgspec cannot read the shapes of a compiled module.
"""

from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import AccountId, ChatId
from shared.message_event import ShownSegment

LARGEST = 2**53 - 1
_SCALAR = 2**31 - 1
EMOJI_BYTES = 32
LONGEST_ID = 64
"""Characters of an id, and of a nonce."""

# Each type has the example that the page of operations shows.

Id = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[1])] | Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
"""Names a command; its reply has the same."""
Account = Annotated[AccountId, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
AnyAccount = Annotated[AccountId, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""0: none."""
Chat = Annotated[ChatId, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
AnyChat = Annotated[ChatId, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""0: none."""
Number = Annotated[int, msgspec.Meta(ge=1, le=LARGEST, examples=[12])]
"""The index of a message."""
Index = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[12])]
"""Of a message or a change, or another count; 0: none."""
UnixMs = Annotated[int, msgspec.Meta(ge=0, le=LARGEST, examples=[1_795_263_300_000])]
Small = Annotated[int, msgspec.Meta(ge=0, le=_SCALAR, examples=[3])]
MediaId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", examples=["6f9619ff8b864d01b42d00c04fc964ff"])]
Nonce = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID, examples=["alert-1"])]

MessageText = Annotated[str, msgspec.Meta(examples=["Good morning"])]
Nickname = Annotated[str, msgspec.Meta(examples=["Ann"])]
GroupName = Annotated[str, msgspec.Meta(examples=["Hiking"])]
PictureAddress = Annotated[str, msgspec.Meta(examples=["https://example.org/ann.png"])]
Username = Annotated[str, msgspec.Meta(examples=["ann"])]
Email = Annotated[str, msgspec.Meta(examples=["ann@example.org"])]
Answer = Annotated[str, msgspec.Meta(examples=["blue"])]
DeviceName = Annotated[str, msgspec.Meta(max_length=64, examples=["Ann's phone"])]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["builds"])]
"""What its maker calls a token or a hook."""
KeyText = Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["fZ3kQ0aT"])]
"""What the server calls a link, a hook or a token; no secret."""

# Client to server


class Parameters(msgspec.Struct):
    """Of any command: `op` names the operation. A command without `id` gets no reply."""

    id: Id | None = None


class NoParameters(Parameters):
    pass


class AccountParameters(Parameters, kw_only=True):
    account: Account


class ChatParameters(Parameters, kw_only=True):
    chat: Chat


class MemberParameters(ChatParameters, kw_only=True):
    account: Account


class IndexParameters(Parameters, kw_only=True):
    """A message of a chat."""

    chat: Chat
    index: Number


class FastSend(msgspec.Struct, frozen=True, gc=False):
    """The most frequent command, a text to a chat, with exactly these members."""

    op: Literal["send"]
    id: int
    chat: int
    text: str
    nonce: str


# Server to client. Members that may be UNSET are left out then.


class SparseResult(msgspec.Struct):
    def __post_init__(self) -> None:
        """Of a reply's attributes, a member that may be UNSET is left out if it is empty or 0."""
        for name in _omissible(type(self)):
            if not getattr(self, name):
                setattr(self, name, UNSET)


@cache
def _omissible(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(shape) if field.default is UNSET)


class Nothing(msgspec.Struct):
    """The operation succeeded."""


class VersionResult(SparseResult):
    """The operation succeeded. `version`: the chat's, as in `chat`; left out while a server of an older version
    replies, and if nothing of a chat has changed."""

    version: int | UnsetType = UNSET


class SentReply(msgspec.Struct, gc=False):
    """A SendResult with the id of its command: the whole of the most frequent reply."""

    re: int | str
    chat: int
    index: int
    id: int
    time: int
    again: bool | UnsetType = UNSET


class ShownChange(msgspec.Struct):
    """A change of message `index`. `rev` counts 1, 2, 3 … within the chat; `kind`: edit, recall, reaction or pin; `by`:
    who made it. `segments`: of the edited message. `reactions`, `mine`: all of it, as in a message; `emoji`: in events
    alone, unless a service has failed, what `by` has added or (`on` false) removed. `on` of a pin: it is pinned."""

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


class ErrorInfo(msgspec.Struct, omit_defaults=True):
    """`field`: the member that is at fault. `retry_ms`: try again after so long. `unknown`: the command may have had
    its effect: send a command with a nonce again, with the same one, and look first whether another one has."""

    code: str
    text: str
    field: str = ""
    retry_ms: int | UnsetType = UNSET
    unknown: bool = False
