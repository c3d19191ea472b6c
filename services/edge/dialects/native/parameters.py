"""native, client to server: the parameters of each operation. Members that are not declared here are ignored."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.members import MAX_ADDED

_LARGEST = 2**53 - 1
_SCALAR = 2**31 - 1
EMOJI_BYTES = 32

Id = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] | Annotated[str, msgspec.Meta(max_length=64)]
"""Names a command; its reply has the same."""
Number = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
"""An account, a chat or an index."""
Small = Annotated[int, msgspec.Meta(ge=0, le=_SCALAR)]
MediaId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Nonce = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


DeviceName = Annotated[str, msgspec.Meta(max_length=64)]
LinkText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Parameters(msgspec.Struct):
    """Of any command: `op` names the operation. A command without `id` gets no reply."""

    id: Id | None = None


class NoParameters(Parameters):
    pass


# Segments


class TextSegment(msgspec.Struct, tag_field="t", tag="text"):
    text: str


class EmojiSegment(msgspec.Struct, tag_field="t", tag="emoji"):
    id: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]


class ImageReference(msgspec.Struct, tag_field="t", tag="image"):
    """`media`: the `id` of the reply to an upload. An empty name is the uploaded one."""

    media: MediaId
    name: str = ""


class FileReference(msgspec.Struct, tag_field="t", tag="file"):
    media: MediaId
    name: str = ""


class MentionSegment(msgspec.Struct, tag_field="t", tag="mention"):
    """`text`: what dialects without mentions show, such as `@Ann`."""

    account: Number
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


DraftSegment = TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment


# The connection and the account


class HelloParameters(Parameters):
    v: Literal[1] = 1


class SecretParameter(msgspec.Struct):
    """A password, or its hash in hex. An account's scheme is that of its registration or of its last new password."""

    scheme: Literal["plain", "md5", "sha256"]
    value: str


class RegisterParameters(Parameters, kw_only=True):
    """`refreshable`: with a refresh token; `device`: a name of the device for `sessions`; here and below."""

    secret: SecretParameter
    nickname: str
    email: str = ""
    username: str = ""
    question_id: Small = 0
    answer: str = ""
    refreshable: bool = False
    device: DeviceName = ""


class LoginParameters(Parameters, kw_only=True):
    """`identifier`: an e-mail address, an account's number or a username; `any` tries the username first."""

    identifier: str
    secret: SecretParameter
    kind: Literal["any", "email", "id", "username"] = "any"
    refreshable: bool = False
    device: DeviceName = ""


class TokenParameters(Parameters, kw_only=True):
    token: str


class RecoverParameters(Parameters, kw_only=True):
    """`identifier` alone: a ticket is mailed to the account, if there is one whose address may get it. `ticket` and the
    new `secret`, or `identifier`, `question_id`, `answer` and `secret`: the new password is set."""

    identifier: str = ""
    question_id: Small | UnsetType = UNSET
    answer: str | UnsetType = UNSET
    ticket: str = ""
    secret: SecretParameter | UnsetType = UNSET


class PasswordParameters(Parameters, kw_only=True):
    old: SecretParameter
    new: SecretParameter
    refreshable: bool = False


class DeleteAccountParameters(Parameters, kw_only=True):
    secret: SecretParameter


class SecurityParameters(Parameters, kw_only=True):
    question_id: Small
    answer: str


class EndSessionParameters(Parameters, kw_only=True):
    sid: str


# Messages


class SendParameters(Parameters, kw_only=True):
    """To `chat`, or (`to`) to the private chat with an account. Either `text` or `segments`. `reply_to`: the index of
    another message of the chat."""

    nonce: Nonce
    chat: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] = 0
    to: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] = 0
    text: str = ""
    segments: list[DraftSegment] = []
    reply_to: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] = 0


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
    text: str = ""
    segments: list[DraftSegment] = []
    if_rev: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] | None = None


class ReactParameters(IndexParameters, kw_only=True):
    """`emoji`: one emoji of at most 32 code points, or at most 32 bytes of UTF-8, without white space and control
    characters. Variation selectors make no difference: it is stored, and shown, as Unicode's fully-qualified form."""

    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=EMOJI_BYTES)]


class HistoryParameters(Parameters, kw_only=True):
    """`from`: an index, or −k for the k-th newest message."""

    chat: Number
    start: Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)] = msgspec.field(name="from", default=-1)
    count: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    dir: Literal["older", "newer"] = "older"


class ReadParameters(IndexParameters, kw_only=True):
    pass


Index = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]


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

    epoch: str = ""
    have: Annotated[
        dict[Number, Annotated[list[Index], msgspec.Meta(min_length=1, max_length=2)]], msgspec.Meta(max_length=1000)
    ] = {}
    states: Annotated[dict[Number, Index], msgspec.Meta(max_length=1000)] = {}
    window: Annotated[int, msgspec.Meta(ge=1, le=100)] = 30
    timeline: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20
    before: tuple[Index, Index] | None = None
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=30_000)] = 0


# Users, groups


class AccountParameters(Parameters, kw_only=True):
    account: Number


class ProfileParameters(Parameters, kw_only=True):
    """Members that are left out stay as they are."""

    nickname: str | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    status: Small | UnsetType = UNSET
    icon_id: Small | UnsetType = UNSET


class FindParameters(Parameters, kw_only=True):
    """`query`: all of a number, of a username or of an e-mail address."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]


class WatchParameters(Parameters, kw_only=True):
    """The presence of these accounts is shown, and of no others any more."""

    accounts: Annotated[list[Number], msgspec.Meta(max_length=200)]


class HereParameters(Parameters, kw_only=True):
    """`hidden`: others see `offline`, and no text. `text`: shown beside the state; the next `here` replaces both."""

    state: Literal["active", "away", "busy", "hidden"]
    text: Annotated[str, msgspec.Meta(max_length=64)] = ""


class BefriendParameters(AccountParameters, kw_only=True):
    text: str = ""


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
    name: str = ""
    avatar: str = ""
    join_policy: Literal["open", "approval", "closed"] = "approval"
    nonce: Nonce | None = None


class SetChatParameters(ChatParameters, kw_only=True):
    """`avatar`: an address, as in `set_profile`. An empty `topic`, or `avatar`: none. `join_policy`: as in `create`;
    `closed`: by a link or an invitation alone. `receipts`: members see what the others have read. `edit_s`, `recall_s`:
    for so many seconds after a message its sender may edit or recall it, 0: never; null: as long as the server allows,
    and never longer. `history_for_new`: who joins from now on sees the messages from before; null: in an open group.
    What is left out stays, and null of the others."""

    name: str | None = None
    receipts: bool | None = None
    avatar: str | None = None
    topic: str | None = None
    join_policy: Literal["open", "approval", "closed"] | None = None
    edit_s: Small | UnsetType | None = UNSET
    recall_s: Small | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET


class JoinParameters(ChatParameters, kw_only=True):
    text: str = ""


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

    until: Index = 0


class SilenceParameters(ChatParameters, kw_only=True):
    """Without `account`: all but the owner and the admins. `until`: Unix milliseconds; 0: from now on, the member may
    send again."""

    until: Index
    account: Index = 0


class LinkParameters(ChatParameters, kw_only=True):
    """`uses`: so many accounts may join; without it, any number. `expires`: Unix milliseconds; without it, never.
    `nonce` as in `create`."""

    uses: Index = 0
    expires: Index = 0
    nonce: Nonce | None = None


class UnlinkParameters(ChatParameters, kw_only=True):
    link: LinkText


class JoinLinkParameters(Parameters, kw_only=True):
    link: LinkText


class RoleParameters(MemberParameters, kw_only=True):
    role: Literal["member", "admin"]


class MembersParameters(ChatParameters, kw_only=True):
    """`after`: the last account of the page before. `since`: only members that have joined or left, or have another
    role or silence, after this `version` of the chat; names and pictures do not count."""

    after: Index = 0
    since: Index = 0
