"""native, client to server: the parameters of each operation. Members that are not declared here are ignored."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.members import MAX_ADDED

_LARGEST = 2**53 - 1
_SCALAR = 2**31 - 1
EMOJI_BYTES = 32

# Each type has the example that the page of operations shows.

Id = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST, examples=[1])] | Annotated[str, msgspec.Meta(max_length=64)]
"""Names a command; its reply has the same."""
Number = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST, examples=[12])]
"""An account, a chat or an index."""
Index = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST, examples=[12])]
"""Of a message or a change, or another count; 0: none."""
UnixMs = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST, examples=[1_795_263_300_000])]
Small = Annotated[int, msgspec.Meta(ge=0, le=_SCALAR, examples=[3])]
MediaId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", examples=["6f9619ff8b864d01b42d00c04fc964ff"])]
Nonce = Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["alert-1"])]

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


class Parameters(msgspec.Struct):
    """Of any command: `op` names the operation. A command without `id` gets no reply."""

    id: Id | None = None


class NoParameters(Parameters):
    pass


# Segments


class TextSegment(msgspec.Struct, tag_field="t", tag="text"):
    text: MessageText


class EmojiSegment(msgspec.Struct, tag_field="t", tag="emoji"):
    id: Index


class ImageReference(msgspec.Struct, tag_field="t", tag="image"):
    """`media`: the `id` of the reply to an upload. An empty name is the uploaded one."""

    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""


class FileReference(msgspec.Struct, tag_field="t", tag="file"):
    media: MediaId
    name: Annotated[str, msgspec.Meta(examples=["map.pdf"])] = ""


class MentionSegment(msgspec.Struct, tag_field="t", tag="mention"):
    """`text`: what dialects without mentions show, such as `@Ann`."""

    account: Number
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["@Ann"])]


DraftSegment = TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment


# The connection and the account


class HelloParameters(Parameters):
    v: Literal[1] = 1


class SecretParameter(msgspec.Struct):
    """A password, or its hash in hex. An account's scheme is that of its registration or of its last new password."""

    scheme: Literal["plain", "md5", "sha256"]
    value: Annotated[str, msgspec.Meta(examples=["correct horse battery staple"])]


class RegisterParameters(Parameters, kw_only=True):
    """`refreshable`: with a refresh token; `device`: a name of the device for `sessions`; here and below."""

    secret: SecretParameter
    nickname: Nickname
    email: Email = ""
    username: Username = ""
    question_id: Small = 0
    answer: Answer = ""
    refreshable: bool = False
    device: DeviceName = ""


class LoginParameters(Parameters, kw_only=True):
    """`identifier`: an e-mail address, an account's number or a username; `any` tries the username first."""

    identifier: Email
    secret: SecretParameter
    kind: Literal["any", "email", "id", "username"] = "any"
    refreshable: bool = False
    device: DeviceName = ""


class TokenParameters(Parameters, kw_only=True):
    token: Annotated[str, msgspec.Meta(examples=["h.p.s"])]


class RecoverParameters(Parameters, kw_only=True):
    """`identifier` alone: a ticket is mailed to the account, if there is one whose address may get it. `ticket` and the
    new `secret`, or `identifier`, `question_id`, `answer` and `secret`: the new password is set."""

    identifier: Email = ""
    question_id: Small | UnsetType = UNSET
    answer: Answer | UnsetType = UNSET
    ticket: Annotated[str, msgspec.Meta(examples=["6f9619ff8b864d01b42d00c04fc964ff"])] = ""
    secret: SecretParameter | UnsetType = UNSET


class PasswordParameters(Parameters, kw_only=True):
    old: SecretParameter
    new: SecretParameter
    refreshable: bool = False


class DeleteAccountParameters(Parameters, kw_only=True):
    secret: SecretParameter


class SecurityParameters(Parameters, kw_only=True):
    question_id: Small
    answer: Answer


class EndSessionParameters(Parameters, kw_only=True):
    sid: Annotated[str, msgspec.Meta(examples=["s1"])]


# Messages


class SendParameters(Parameters, kw_only=True):
    """To `chat`, or (`to`) to the private chat with an account. Either `text` or `segments`. `reply_to`: the index of
    another message of the chat."""

    nonce: Nonce
    chat: Index = 0
    to: Index = 0
    text: MessageText = ""
    segments: list[DraftSegment] = []
    reply_to: Index = 0


class IndexParameters(Parameters, kw_only=True):
    """A message of a chat."""

    chat: Number
    index: Number


class ForwardParameters(IndexParameters, kw_only=True):
    """`into`: chats."""

    into: Annotated[list[Number], msgspec.Meta(min_length=1, max_length=20)]
    nonce: Nonce


class EditParameters(IndexParameters, kw_only=True):
    """Either `text` or `segments`. `if_rev`: only if the message was not edited after this `rev`."""

    nonce: Nonce
    text: MessageText = ""
    segments: list[DraftSegment] = []
    if_rev: Index | None = None


class ReactParameters(IndexParameters, kw_only=True):
    """`emoji`: one emoji of at most 32 code points, or at most 32 bytes of UTF-8, without white space and control
    characters. Variation selectors make no difference: it is stored, and shown, as Unicode's fully-qualified form."""

    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=EMOJI_BYTES, examples=["👍"])]


class HistoryParameters(Parameters, kw_only=True):
    """`from`: an index, or −k for the k-th newest message."""

    chat: Number
    start: Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST, examples=[40])] = msgspec.field(
        name="from", default=-1
    )
    count: Annotated[int, msgspec.Meta(ge=1, le=200, examples=[100])] = 50
    dir: Literal["older", "newer"] = "older"


class ReadParameters(IndexParameters, kw_only=True):
    pass


class ChangesParameters(Parameters, kw_only=True):
    """`after`: a `rev`."""

    chat: Number
    after: Index = 0


class SyncParameters(Parameters, kw_only=True):
    """`have`: for each chat, a list with the last index that the client has, without a gap before it, and the last
    `rev`, without a gap before it; without the `rev`, no changes are sent. `states`: the `state` of each of these chats
    as the client knows it, 0 if it knows none; a chat without one is not listed for a new state. `before`: of the reply
    with the page before; all else is as in its command. `wait_ms`: by HTTP, the response may wait for so long until
    there is something."""

    epoch: Annotated[str, msgspec.Meta(examples=["9f3c01aa"])] = ""
    have: Annotated[
        dict[Number, Annotated[list[Index], msgspec.Meta(min_length=1, max_length=2)]],
        msgspec.Meta(max_length=1000, examples=[{"12": [40, 7]}]),
    ] = {}
    states: Annotated[dict[Number, Index], msgspec.Meta(max_length=1000, examples=[{"12": 3}])] = {}
    window: Annotated[int, msgspec.Meta(ge=1, le=100, examples=[50])] = 30
    timeline: Annotated[int, msgspec.Meta(ge=0, le=100, examples=[50])] = 20
    before: tuple[Index, Index] | None = None
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000, examples=[25_000])] = 0


# Users, groups


class AccountParameters(Parameters, kw_only=True):
    account: Number


class ProfileParameters(Parameters, kw_only=True):
    """Members that are left out stay as they are."""

    nickname: Nickname | UnsetType = UNSET
    avatar: PictureAddress | UnsetType = UNSET
    signature: MessageText | UnsetType = UNSET
    status: Small | UnsetType = UNSET
    icon_id: Small | UnsetType = UNSET


class FindParameters(Parameters, kw_only=True):
    """`query`: all of a number, of a username or of an e-mail address."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=320, examples=["ann@example.org"])]


class WatchParameters(Parameters, kw_only=True):
    """The presence of these accounts is shown, and of no others any more."""

    accounts: Annotated[list[Number], msgspec.Meta(max_length=200)]


class HereParameters(Parameters, kw_only=True):
    """`hidden`: others see `offline`, and no text. `text`: shown beside the state; the next `here` replaces both."""

    state: Literal["active", "away", "busy", "hidden"]
    text: Annotated[str, msgspec.Meta(max_length=64, examples=["at lunch"])] = ""


class BefriendParameters(AccountParameters, kw_only=True):
    text: MessageText = ""


class AnswerFriendParameters(AccountParameters, kw_only=True):
    accept: bool


class ChatParameters(Parameters, kw_only=True):
    chat: Number


class TypingParameters(ChatParameters, kw_only=True):
    """`on`: false when the account stops."""

    on: bool = True


class CreateParameters(Parameters, kw_only=True):
    """An empty `name` is made of the members' nicknames. Under its `nonce` the command may be repeated for ten minutes:
    it gets the first reply."""

    members: list[Number] = []
    name: GroupName = ""
    avatar: PictureAddress = ""
    join_policy: Literal["open", "approval", "closed"] = "approval"
    nonce: Nonce | None = None


class SetChatParameters(ChatParameters, kw_only=True):
    """`avatar`: an address, as in `set_profile`. An empty `topic`, or `avatar`: none. `join_policy`: as in `create`;
    `closed`: by a link or an invitation alone. `receipts`: members see what the others have read. `edit_s`, `recall_s`:
    for so many seconds after a message its sender may edit or recall it, 0: never; null: as long as the server allows,
    and never longer. `history_for_new`: who joins from now on sees the messages from before; null: in an open group.
    What is left out stays, and null of the others."""

    name: GroupName | None = None
    receipts: bool | None = None
    avatar: PictureAddress | None = None
    topic: MessageText | None = None
    join_policy: Literal["open", "approval", "closed"] | None = None
    edit_s: Small | UnsetType | None = UNSET
    recall_s: Small | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET


class JoinParameters(ChatParameters, kw_only=True):
    text: MessageText = ""


class AnswerJoinParameters(ChatParameters, kw_only=True):
    account: Number
    accept: bool


class InviteParameters(ChatParameters, kw_only=True):
    """Either `account` or `accounts`."""

    account: Number | None = None
    accounts: Annotated[list[Number], msgspec.Meta(max_length=MAX_ADDED)] = []


class MemberParameters(ChatParameters, kw_only=True):
    account: Number


class BanParameters(MemberParameters, kw_only=True):
    """`until`: Unix milliseconds; without it, the ban does not end."""

    until: UnixMs = 0


class SilenceParameters(ChatParameters, kw_only=True):
    """Without `account`: all but the owner and the admins. `until`: Unix milliseconds; 0: from now on, the member may
    send again."""

    until: UnixMs
    account: Index = 0


class LinkParameters(ChatParameters, kw_only=True):
    """`uses`: so many accounts may join; without it, any number. `expires`: Unix milliseconds; without it, never.
    `nonce` as in `create`."""

    uses: Index = 0
    expires: UnixMs = 0
    nonce: Nonce | None = None


class UnlinkParameters(ChatParameters, kw_only=True):
    link: KeyText


class JoinLinkParameters(Parameters, kw_only=True):
    link: KeyText


class RoleParameters(MemberParameters, kw_only=True):
    role: Literal["member", "admin"]


class MembersParameters(ChatParameters, kw_only=True):
    """`after`: the last account of the page before. `since`: only members that have joined or left, or have another
    role or silence, after this `version` of the chat; names and pictures do not count."""

    after: Index = 0
    since: Index = 0
