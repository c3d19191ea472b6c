"""The shapes of native. `./dev docs` makes this module from the table of operations: do not edit it.

Parameters whose names Python reserves end in `_`, such as `from_`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, NotRequired, TypedDict, overload


class BansResult(TypedDict):
    bans: list[BanInfo]

class BanInfo(TypedDict):
    """`by`: the account that made the ban. `until`: when the ban ends, in Unix milliseconds. Without it, the ban does
    not end."""
    account: int
    by: int
    until: NotRequired[int]

class BlocksResult(TypedDict):
    """`accounts`: the blocked accounts in ascending order."""
    accounts: list[int]

class BotsResult(TypedDict):
    """The bots of the account, sorted by number."""
    bots: list[BotInfo]

class BotInfo(TypedDict):
    """`nickname`: the bot's nickname when it was created. `profile` returns the present one. `created`: Unix
    milliseconds."""
    account: int
    nickname: str
    created: int
    tokens: list[BotTokenInfo]

class BotTokenInfo(TypedDict):
    """A valid token of a bot. `created` and `expires` are Unix milliseconds."""
    sid: str
    name: str
    scopes: list[str]
    created: int
    expires: int

class ChangeResult(TypedDict):
    """The change is stored, by this command or an earlier one."""
    rev: int
    time: int

class ChangesResult(TypedDict):
    """If a message has changed several times in the same way, only the last of these changes is listed. `rev`: the
    chat's last change."""
    changes: list[ShownChange]
    rev: int
    more: bool
    next: NotRequired[NextAfter]

class ShownChange(TypedDict):
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
    segments: NotRequired[list[ShownText | ShownEmoji | ShownImage | ShownFile | ShownMention]]
    reactions: NotRequired[dict[str, int]]
    mine: NotRequired[list[str]]
    emoji: NotRequired[str]
    on: NotRequired[bool]

class ShownText(TypedDict):
    t: Literal["text"]
    text: str

class ShownEmoji(TypedDict):
    t: Literal["emoji"]
    id: int

class ShownImage(TypedDict):
    """`hash`: as in `send`. `preview`: the address of a smaller picture."""
    t: Literal["image"]
    media: MediaInfo
    hash: NotRequired[str]
    preview: NotRequired[str]

class MediaInfo(TypedDict):
    """A stored file, which can be fetched from `url`. `width`, `height`: pixels of a picture as it is shown, if the
    size is known."""
    id: str
    name: str
    size: int
    sha256: str
    mime: str
    url: str
    width: NotRequired[int]
    height: NotRequired[int]

class ShownFile(TypedDict):
    t: Literal["file"]
    media: MediaInfo

class ShownMention(TypedDict):
    t: Literal["mention"]
    account: int
    text: str

class NextAfter(TypedDict):
    """The members with which the same command gets the next page."""
    after: int

class ChatResult(TypedDict):
    """`kind`: private, group or service. `members`: the members in the order in which they joined, the owner first. For
    a big group, only the first members are listed. `created`: Unix milliseconds. `version`: a number that grows with
    each change of the membership. `receipts`: whether members see which messages the others have read. `mute` sets
    `muted_until` and `mentions_only`. `set_place` sets `pinned` and `archived`. `set_chat` sets `edit_s`, `recall_s`,
    `history_for_new` and `handle`."""
    chat: int
    kind: str
    name: str
    avatar: str
    owner: int
    join_policy: str
    created: int
    version: int
    members: list[int]
    receipts: bool
    topic: str
    muted_until: NotRequired[int]
    mentions_only: NotRequired[bool]
    pinned: NotRequired[bool]
    archived: NotRequired[bool]
    edit_s: NotRequired[int]
    recall_s: NotRequired[int]
    history_for_new: NotRequired[bool]
    handle: NotRequired[str]

class CreateBotResult(TypedDict):
    account: int
    uuid: str

class CreateBotTokenResult(TypedDict):
    """`token`: the token, which no later reply shows. `sid`: the token's name, which is no secret. `expires`: Unix
    milliseconds."""
    sid: str
    token: str
    expires: int

class CreateHookResult(TypedDict):
    """`secret`: any program that has the secret can post by `POST /hooks/SECRET`. No later reply shows the secret.
    `hook`: the webhook's name, which is no secret. `account`: the sender of its messages."""
    hook: str
    secret: str
    account: NotRequired[int]

class CreateOutgoingHookResult(TypedDict):
    """`secret`: the key that signs the requests to the endpoint. No later reply shows it. `hook`: the webhook's name,
    which is no secret. `next`: the index of the first message to post."""
    hook: str
    secret: str
    next: int

class SecretParameter(TypedDict):
    """Has the `secret` of an account, which is the password or its hash in hex. The scheme must be the one that was
    used at the registration or for the last new password."""
    scheme: Literal["md5", "plain", "sha256"]
    value: str

class DraftResult(TypedDict):
    """The saved draft. If there is no `draft`, nothing is saved."""
    draft: NotRequired[DraftInfo]

class DraftInfo(TypedDict):
    """`rev`: the time of the last change in Unix milliseconds. It is different for each change. `reply_to`: the index
    of a message. `cut`: whether the text is only the beginning of the draft. The operation `draft` returns the whole
    text."""
    rev: int
    text: str
    reply_to: NotRequired[int]
    cut: NotRequired[bool]

class TextSegment(TypedDict):
    t: Literal["text"]
    text: str

class EmojiSegment(TypedDict):
    t: Literal["emoji"]
    id: int

class ImageReference(TypedDict):
    """`media`: the `id` from the reply to an upload. If the name is empty, the file keeps the name of its upload.
    `hash`: at most 32 bytes in base64, such as a ThumbHash, which other clients show while they load the picture.
    `preview`: the `id` of an upload with a smaller picture (PNG, JPEG, GIF or WebP, at most 1280 pixels wide and high,
    and 1 MiB). A preview whose `width` the upload's reply lacks is left out."""
    t: Literal["image"]
    media: str
    name: NotRequired[str]
    hash: NotRequired[str]
    preview: NotRequired[str | None]

class FileReference(TypedDict):
    t: Literal["file"]
    media: str
    name: NotRequired[str]

class MentionSegment(TypedDict):
    """`text`: the text that dialects without mentions show, such as `@Ann`."""
    t: Literal["mention"]
    account: int
    text: str

class ExportMessagesResult(TypedDict):
    """The account's own messages among the next 200 messages of the chat. There may be none. `draft`: a text that the
    account has not sent yet. Only the first page has it."""
    messages: list[ShownMessage]
    after: int
    more: bool
    draft: NotRequired[DraftInfo]
    next: NotRequired[NextAfter]

class ShownMessage(TypedDict):
    """`index` counts 1, 2, 3 … within the chat; `time`: Unix milliseconds. `to`: the recipient in a private chat.
    `edited`: the segments are no longer those that were sent. `recalled`: there are no segments any more. `reactions`:
    the number of accounts by emoji; `mine`: the reactions of this account. `reply_to`: the index of another message of
    the chat."""
    chat: int
    index: int
    id: int
    sender: int
    time: int
    segments: list[ShownText | ShownEmoji | ShownImage | ShownFile | ShownMention]
    to: NotRequired[int]
    face: NotRequired[SenderInfo]
    edited: NotRequired[bool]
    recalled: NotRequired[bool]
    reactions: NotRequired[dict[str, int]]
    mine: NotRequired[list[str]]
    reply_to: NotRequired[int]

class SenderInfo(TypedDict):
    """`v`: a number that differs when the profile or its picture has changed; left out if it is unknown."""
    nickname: str
    uuid: str
    v: NotRequired[int]

class ExportResult(TypedDict):
    """`exported` and `created` are Unix milliseconds. `question_id`: the security question, or 0. `email_verified`:
    whether a mail to the address has reached the user. `blocks` and `friends` are accounts. `chats`: the chats of which
    the account is a member. `chat` returns the data of each. `left_chats`: the newest 10,000 chats that it has left.
    `export_messages` returns the account's own messages in all these chats. `reports`: the reports that the operator
    has not closed. `hooks`, `links`: the webhooks and links that the account has made. `settings`: the account's
    settings. `subscriptions`: its devices that are notified. `metadata`: its texts on IRC."""
    account: int
    email: str
    email_verified: bool
    username: str
    created: int
    question_id: int
    exported: int
    profile: ProfileResult
    friends: list[int]
    requests: RequestsResult
    blocks: list[int]
    chats: list[int]
    left_chats: list[int]
    sessions: list[SessionInfo]
    bots: list[BotInfo]
    reports: list[ReportInfo]
    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]
    settings: SettingsResult
    subscriptions: list[SubscriptionInfo]
    metadata: dict[str, str]

class ProfileResult(TypedDict):
    """`avatar`: the address of a picture. `bot`: whether the account belongs to a program. `v`: as in the `face` of a
    message. `nick`: the name on IRC. Without it, the name on IRC is made from the nickname and the account's number."""
    account: int
    uuid: str
    nickname: str
    avatar: str
    signature: str
    status: int
    icon_id: int
    deleted: bool
    bot: NotRequired[bool]
    v: NotRequired[int]
    nick: NotRequired[str]

class RequestsResult(TypedDict):
    """The requests that this account has not answered yet."""
    friends: list[FriendRequest]
    joins: list[JoinRequest]

class FriendRequest(TypedDict):
    account: int
    text: str

class JoinRequest(TypedDict):
    account: int
    chat: int
    text: str

class SessionInfo(TypedDict):
    """A login. `created`, `expires`: Unix milliseconds. `here`: whether this connection has the login. `device`: the
    name that the client gave the device at its login, or empty."""
    sid: str
    created: int
    expires: int
    address: str
    dialect: str
    here: bool
    device: str

class ReportInfo(TypedDict):
    """`time`: when the report was made, in Unix milliseconds."""
    chat: int
    index: int
    reason: str
    time: int

class MadeHookInfo(TypedDict):
    """A webhook. `origin`: the scheme, host and port of the endpoint of an outgoing webhook. An incoming webhook has no
    origin. `created`: Unix milliseconds."""
    hook: str
    chat: int
    name: str
    created: int
    origin: NotRequired[str]

class MadeLinkInfo(TypedDict):
    """A link to a group. `uses` and `expires` are as in the reply to `link`. `created`: Unix milliseconds."""
    link: str
    chat: int
    created: int
    uses: NotRequired[int]
    expires: NotRequired[int]

class SettingsResult(TypedDict):
    """`rev`: the number of changes of the settings, which is 0 if nothing was set yet. `language`: the user's language,
    as a BCP 47 tag. Clients do not alert before `until` (Unix milliseconds) and in the `quiet` times. At other times,
    `level` decides for which messages clients alert: all, mentions or none. Muted chats restrict this further."""
    rev: int
    level: str
    language: NotRequired[str]
    quiet: NotRequired[Quiet]
    until: NotRequired[int]

Quiet = TypedDict("Quiet", {"tz": "str", "from": "str", "to": "str"})
"""The times of every day between which clients do not alert. `tz`: the IANA name of a time zone."""

class SubscriptionInfo(TypedDict):
    """`session`: the `sid` of the login. The subscription ends with it. `here`: whether this is the subscription of
    this connection. `origin`: the push service. `kind`: as in `subscribe`, or irc. `created` and `last_ok` are Unix
    milliseconds. Without `last_ok`, nothing has been delivered yet. `last_error`: the error of the last attempt, if it
    failed."""
    subscription: int
    session: str
    origin: str
    kind: str
    created: int
    here: NotRequired[bool]
    language: NotRequired[str]
    last_ok: NotRequired[int]
    last_error: NotRequired[str]

class FindResult(TypedDict):
    accounts: list[ProfileResult]

class ForwardResult(TypedDict):
    """The results for the chats, in the order of the command."""
    results: list[ForwardInfo]

class ForwardInfo(TypedDict):
    """The result for one chat. It is the place of the message, or the failure. `again`: whether an earlier command has
    stored it."""
    chat: int
    index: NotRequired[int]
    id: NotRequired[int]
    time: NotRequired[int]
    again: NotRequired[bool]
    failure: NotRequired[ErrorInfo]

class ErrorInfo(TypedDict):
    """The error in a reply. `field`: the wrong member. `retry_ms`: the time after which to repeat the command.
    `unknown`: whether the command may have had its effect. If so, repeat a command that has a nonce with the same
    nonce. Before you repeat any other command, check whether it had its effect. `reason`: set if the code has several
    reasons. The list of reasons may grow. `request`: the id by which the operator finds the request in the log."""
    code: Literal["conflict", "forbidden", "internal", "invalid", "limit", "not_found", "rate_limited", "too_large", "unauthenticated", "unavailable", "unsupported"]
    text: str
    field: NotRequired[str]
    retry_ms: NotRequired[int]
    unknown: NotRequired[bool]
    reason: NotRequired[Literal["banned", "blocked", "changed", "choice", "closed", "disabled", "form", "friends_already", "gone", "length", "member_already", "missing", "nonce_used", "not_admin", "not_friend", "not_member", "not_owner", "not_sender", "not_verified", "range", "scope", "silenced", "switched_off", "taken", "too_old", "type", "weak_login", "wrong_key", "wrong_kind"]]
    request: NotRequired[str]

class FriendsResult(TypedDict):
    friends: list[int]

class HelloResult(TypedDict):
    """`v`: the version of the dialect. `build`: the build of the server. `web`: the build of the web client that the
    server offers. `features`: the parts of `search` that this installation has. `entrance`: how users register and
    recover passwords, if that is known. `operations`: the operations that this server has. `time`: the time of the
    server. `ping_ms`: the time without a frame after which the server pings a WebSocket."""
    v: int
    server: str
    limits: ServerLimits
    operations: list[str]
    time: int
    ping_ms: int
    build: str
    features: list[str]
    entrance: NotRequired[EntranceInfo]
    web: NotRequired[str]

class ServerLimits(TypedDict):
    """The limits of the server. `text_bytes`: the most bytes of a message's text in UTF-8. `frame_bytes`: the most
    bytes of a frame. `rates`: for each kind, the commands each second, and the largest burst. `all` limits a connection
    and an account, and the other kinds limit some operations. If rates are not limited, `rates` is empty.
    `nickname_characters` and similar members limit these names and texts. `members_per_group`: the limit for all groups
    except the lobby. `waiting`: how many commands over the rate may wait. One more command closes the connection
    (4029)."""
    text_bytes: int
    frame_bytes: int
    segments: int
    file_bytes: int
    rates: dict[str, list[float | int]]
    waiting: int
    nickname_characters: int
    group_name_characters: int
    topic_characters: int
    members_per_group: int

class EntranceInfo(TypedDict):
    """`registration`: `open`, or `verified` if the reply waits until a mailed link is opened. `recovery`: how `recover`
    can set a new password, which is by a question or by mail. `secret_min`: the fewest characters of a new plain
    password."""
    registration: str
    recovery: list[str]
    secret_min: int

class HistoryResult(TypedDict):
    """`head`: the chat's last index. `more`: whether there are more messages in the page's direction. `rev`: the
    messages are shown as they were after this change. With `around` or `at`, the messages are in ascending order. Then
    `older` and `newer` say whether there are more messages before and after them."""
    messages: list[ShownMessage]
    head: int
    more: bool
    rev: int
    older: NotRequired[bool]
    newer: NotRequired[bool]
    next: NotRequired[NextMessages]

NextMessages = TypedDict("NextMessages", {"from": "int"})
"""The members with which the same command gets the next page."""

class HooksResult(TypedDict):
    """The incoming webhooks of the group, oldest first."""
    hooks: list[HookInfo]

class HookInfo(TypedDict):
    """`by`: the account that made the webhook. The webhook posts with the permissions of this account. `account`: the
    sender of its messages. `created`: Unix milliseconds. `paused`: whether the webhook cannot post at present, because
    `by` may not manage the group, or an operator has disabled `account`."""
    hook: str
    name: str
    by: int
    created: int
    paused: NotRequired[bool]
    account: NotRequired[int]

class InvitationResult(TypedDict):
    """`link`: a secret, with which any account can join by `join_link`. `by`: the account that made the link. `uses`:
    how many accounts may still join. Without it, there is no limit. `expires`: Unix milliseconds. Without it, the link
    never expires. `paused`: whether the link does not work at present, because `by` may not manage the group."""
    link: str
    by: int
    uses: NotRequired[int]
    expires: NotRequired[int]
    paused: NotRequired[bool]

class InvitationsResult(TypedDict):
    """The links of the group, oldest first."""
    links: list[InvitationResult]

class InviteResult(TypedDict):
    """The reply to a command with `accounts`. `added`: the accounts that are members now, in the order of the command.
    Some of them were members before. `rejected`: all other accounts, each with the error code that a command for this
    account alone would get."""
    version: NotRequired[int]
    added: NotRequired[list[int]]
    rejected: NotRequired[dict[str, str]]

class JoinLinkResult(TypedDict):
    """`version`: the chat's version."""
    chat: int
    name: str
    version: NotRequired[int]

class JoinResult(TypedDict):
    """If `joined` is false, the owner or an admin of the group must answer first, and `name` is empty. `version`: the
    chat's version, if the account has joined."""
    joined: bool
    name: str
    version: NotRequired[int]

class LoginResult(TypedDict):
    """The result of a login. `expires` and `refresh_expires` are Unix milliseconds on the server's clock, and `time` is
    its present time. If `verify` is present, all other members are missing, because the login waits until a mailed link
    is opened."""
    account: NotRequired[int]
    sid: NotRequired[str]
    token: NotRequired[str]
    expires: NotRequired[int]
    uuid: NotRequired[str]
    nickname: NotRequired[str]
    verify: NotRequired[VerificationInfo]
    refresh: NotRequired[str]
    refresh_expires: NotRequired[int]
    time: NotRequired[int]

class VerificationInfo(TypedDict):
    """`expires`: when the verification expires, in Unix milliseconds."""
    expires: int

class MadeResult(TypedDict):
    """The webhooks, links and bots that the account has made. `hooks` and `links` are sorted newest first, at most
    1,000 of each. `bots`: the bots, each with its valid tokens."""
    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]
    bots: list[BotInfo]

class MarkUnreadResult(TypedDict):
    """`unread`: the number of messages that are unread now. `mentions`: how many of these mention the account."""
    unread: int
    mentions: int

class MasksResult(TypedDict):
    masks: list[MaskInfo]

class MaskInfo(TypedDict):
    """`by`: who has set the mask, by the name on IRC. `time`: Unix milliseconds."""
    mask: str
    by: str
    time: int

class MembersResult(TypedDict):
    """`silenced`: until when all members except the owner and the admins are silenced. `version`: the chat's version.
    Servers of older versions leave it out. `since`: as in the command. With it, the page has only members that have
    changed after this version."""
    members: list[MemberInfo]
    more: bool
    silenced: NotRequired[int]
    version: NotRequired[int]
    since: NotRequired[int]
    after: NotRequired[int]
    next: NotRequired[NextAfter]

class MemberInfo(TypedDict):
    """`role`: member, admin or owner. With `since`, it may also be left, for an account that is no longer a member.
    `silenced`: the member may not send before this time (Unix milliseconds). `nickname` and `avatar`: as in `profile`.
    They are left out for past members, and by servers of older versions."""
    account: int
    role: str
    silenced: NotRequired[int]
    nickname: NotRequired[str]
    avatar: NotRequired[str]

class Nothing(TypedDict):
    """The operation succeeded."""

class OpenResult(TypedDict):
    chat: int

class OutgoingHooksResult(TypedDict):
    """The outgoing webhooks of the group, oldest first."""
    hooks: list[OutgoingHookInfo]

class OutgoingHookInfo(TypedDict):
    """`by`: the account that made the webhook. `origin`: the scheme, host and port of the endpoint, whose path is not
    shown. `created`: Unix milliseconds. `next`: the index of the next message to post. `state`: active, failing (with
    further attempts) or stopped (until a replay). `last_error`: the reason why the last attempt failed, if it did.
    `paused`: whether the webhook does not post at present, because `by` may not manage the group."""
    hook: str
    name: str
    by: int
    origin: str
    created: int
    next: int
    state: str
    last_error: NotRequired[str]
    paused: NotRequired[bool]

class PasswordResult(LoginResult):
    """`made` is left out if the account has made nothing, or if the number is unknown."""
    made: NotRequired[MadeCount]

class MadeCount(TypedDict):
    """The number of webhooks, links and bots of the account that still work. `made` lists them, and `end_made` ends
    all."""
    hooks: int
    outgoing_hooks: int
    links: int
    bot_tokens: int

class PingResult(TypedDict):
    """The time of the server."""
    time: int

class ProfilesResult(TypedDict):
    """The profiles of the accounts that exist, in the order of the command."""
    profiles: list[Card]

class Card(TypedDict):
    """An account as clients show it beside its messages. `v`: as in the `face` of a message. Servers of older versions
    leave it out."""
    account: int
    nickname: str
    avatar: str
    v: NotRequired[int]
    deleted: NotRequired[bool]

class PushKeyResult(TypedDict):
    """`key`: the `applicationServerKey` for the browser's `subscribe`, a P-256 point in base64url. `mail_minutes`: set
    if this server also sends mails. It is the shortest time between two mails."""
    key: str
    mail_minutes: NotRequired[float]

class ReactResult(TypedDict):
    """`count`: how many accounts have reacted with the emoji."""
    rev: int
    count: int

class ReactorsResult(TypedDict):
    """The accounts with reactions, in ascending order. Some accounts may have left the chat."""
    reactors: list[ReactorInfo]
    more: bool
    next: NotRequired[NextAfter]

class ReactorInfo(TypedDict):
    """`emojis`: the requested emoji with which the account has reacted."""
    account: int
    emojis: list[str]

class ReadResult(TypedDict):
    """`index`: all messages up to this index are read now. The index is higher than requested if another connection has
    read more. It is never higher than the index of the last message. `unread`: the number of unread messages in the
    chat. `mentions`: how many of these mention the account. Both are left out if they are unknown."""
    unread: NotRequired[int]
    mentions: NotRequired[int]
    index: NotRequired[int]

class ReadersResult(TypedDict):
    """`count`: how many members have read the message. The sender is not counted."""
    count: int
    accounts: list[int]
    more: bool
    next: NotRequired[NextAfter]

class RecoverResult(TypedDict):
    """`made` is left out if the account has made nothing, or if the number is unknown."""
    made: NotRequired[MadeCount]

class RefreshResult(TypedDict):
    """A new token for the operation `token`, and the refresh token that is valid from now on. `expires` and
    `refresh_expires` are Unix milliseconds on the server's clock, and `time` is its present time."""
    account: int
    sid: str
    token: str
    expires: int
    refresh: str
    refresh_expires: int
    time: int

class ReplayOutgoingHookResult(TypedDict):
    """`next`: the index of the next message to post."""
    next: int

class SearchResult(TypedDict):
    """The hits, newest first. `indexed_to`: messages that were sent until this time (Unix milliseconds) were searched.
    `next` and `page` are present if there may be more hits, even if this page has few. `around`: with `context`, the
    messages before and after the hits, sorted by chat and index. It has neither the hits nor reactions."""
    hits: list[FoundMessage]
    indexed_to: int
    page: NotRequired[str]
    around: NotRequired[list[ShownMessage]]
    next: NotRequired[NextFound]

class FoundMessage(TypedDict):
    """`snippet`: a part of the message's present text. `marks`: the position and the length of each match in the
    snippet, in code points."""
    chat: int
    index: int
    id: int
    sender: int
    time: int
    snippet: str
    marks: list[list[int]]

class NextFound(TypedDict):
    """The members with which the same command gets the next page."""
    page: str

class SendResult(TypedDict):
    """The message is stored. `again`: whether an earlier command with the same nonce has stored it."""
    chat: int
    index: int
    id: int
    time: int
    again: NotRequired[bool]

class SessionsResult(TypedDict):
    """The logins of the account, newest first."""
    sessions: list[SessionInfo]

class SetDraftResult(TypedDict):
    """`rev`: the present `rev` of the draft. If another device has changed the draft meanwhile, nothing is stored, and
    `conflict` is the other draft. If its `rev` is 0, the other device has removed the draft."""
    rev: NotRequired[int]
    conflict: NotRequired[DraftInfo]

class ModeChangeInfo(TypedDict):
    """One change of a setting that IRC calls a mode. `b`: `text` is a mask of users who may not join or send, such as
    `*!u12@*`. `e`: a mask of users who may do so in spite of `b`. `I`: a mask of users who may join a closed group.
    `k`: the key for joining. `l`: the most members. `n`: only members may send. `t`: only admins set the topic. `s`:
    the group is not listed. `C`: no CTCP. `v`: `text` is the number of an account that may send in a silenced group."""
    on: bool
    mode: Literal["C", "I", "b", "e", "k", "l", "n", "s", "t", "v"]
    text: NotRequired[str]

class SetSettingsResult(TypedDict):
    """The new `rev` of the settings."""
    rev: int

class SubscribeResult(TypedDict):
    """The number of the subscription. If the same endpoint subscribes again, the number stays the same."""
    subscription: int

class SubscriptionsResult(TypedDict):
    """The subscriptions of the account, oldest first."""
    subscriptions: list[SubscriptionInfo]

class SyncResult(TypedDict):
    """The chats, of which the most recently active ones come first. Their messages and changes follow as events, and
    then the event `synced`. `reset`: whether the client must forget all messages, because the server has lost them.
    `gone`: the chats of which the account is no longer a member. `away`: always empty. `before`: as in `next`. `lists`:
    the lists that have changed."""
    epoch: str
    reset: bool
    chats: list[ChatHead]
    gone: list[int]
    away: list[int]
    before: NotRequired[list[int]]
    lists: NotRequired[ChangedLists]
    next: NotRequired[NextChats]

class ChatHead(TypedDict):
    """A chat of which the client lacks messages, changes, or the present `state`. `head`: the chat's last index.
    `time`: the time of the chat's last message or, without messages, of its creation. `first`: the first index that the
    account may see. `read`: the index up to which all messages are read. `unread`: the number of unread messages.
    `mentions`: how many of these mention the account. `rev`: the chat's last change. `changes_after`: set if this sync
    does not send the changes after this one. Request them by `changes`. `pins`: the indexes of the pinned messages.
    `unread_from`: the index from which on messages count as unread, because `mark_unread` has set it. `topic`: the
    chat's topic, if there is one. `members`: the two members of a chat that is no group. `face`: the other member's
    profile summary. `muted_until` and `mentions_only` are set by `mute`, and `pinned` and `archived` by `set_place`.
    `role`: the role of the account, as in `members`. `receipts`: false if members do not see which messages the others
    have read. `edit_s`, `recall_s`, `history_for_new` and `handle` are present if they are set by `set_chat`. `last`:
    the last message, if the account may see it. `state`: a number that changes with these values and with the chat's
    members and roles. It does not change with messages, `rev` and values that change with `rev`. Only a server of an
    older version leaves out `role` and `state`."""
    chat: int
    kind: str
    name: str
    avatar: str
    owner: int
    join_policy: str
    version: int
    head: int
    time: int
    first: int
    read: int
    unread: int
    rev: int
    gap: NotRequired[Gap]
    changes_after: NotRequired[int]
    pins: NotRequired[list[int]]
    mentions: NotRequired[int]
    topic: NotRequired[str]
    muted_until: NotRequired[int]
    mentions_only: NotRequired[bool]
    pinned: NotRequired[bool]
    archived: NotRequired[bool]
    members: NotRequired[list[int]]
    face: NotRequired[SenderInfo]
    role: NotRequired[str]
    receipts: NotRequired[bool]
    edit_s: NotRequired[int]
    recall_s: NotRequired[int]
    history_for_new: NotRequired[bool]
    handle: NotRequired[str]
    state: NotRequired[int]
    unread_from: NotRequired[int]
    draft: NotRequired[DraftInfo]
    last: NotRequired[LastInfo]

Gap = TypedDict("Gap", {"from": "int", "to": "int"})
"""Indexes of messages that the client lacks and that this sync does not send. Request these messages by
    `history`."""

class LastInfo(TypedDict):
    """The last message of a chat. `text`: the message's first 120 characters, or the name of its file. `kind`: `text`,
    `emoji`, `image`, `file`, `recalled` or `expired`. The last two have no text. There may be more kinds in later
    versions."""
    index: int
    sender: int
    text: str
    kind: str

class ChangedLists(TypedDict):
    """Each list replaces the client's copy of that list."""
    friends: NotRequired[FriendsList]
    requests: NotRequired[RequestsList]
    blocks: NotRequired[BlocksList]
    settings: NotRequired[SettingsList]

class FriendsList(FriendsResult):
    """`v`: the version of each friend's profile, as in the `face` of a message. `state` changes with the list and with
    each profile."""
    v: list[int]
    state: int

class RequestsList(RequestsResult):
    state: int

class BlocksList(BlocksResult):
    state: int

class SettingsList(SettingsResult):
    state: int

class NextChats(TypedDict):
    """The members with which the same command gets the next page. After a `reset`, they also replace the client's
    `epoch` and all its positions in the requests for all later pages."""
    before: list[int]
    epoch: NotRequired[str]
    have: NotRequired[dict[str, list[int]]]
    states: NotRequired[dict[str, int]]
    among: NotRequired[None]

class TokenResult(TypedDict):
    account: int
    sid: str
    expires: int
    time: int

class UnreadResult(TypedDict):
    """`total` and `mentions` are the sums over all chats. `chats`: the chats with unread messages."""
    total: int
    mentions: int
    chats: list[UnreadChat]

class UnreadChat(TypedDict):
    """`unread`: the number of unread messages. `mentions`: how many of these mention the account."""
    chat: int
    unread: int
    mentions: int

class VersionResult(TypedDict):
    """The operation succeeded. `version`: the chat's version, as in `chat`. It is left out if no chat has changed, and
    by servers of older versions."""
    version: NotRequired[int]

class WatchResult(TypedDict):
    """The presence of the accounts, in the order of the command."""
    presence: list[PresenceInfo]

class PresenceInfo(TypedDict):
    """`state`: `active`, `away`, `busy` or `offline`. Only the account itself sees `hidden`. `unknown` is the state of
    an account that may not be watched, and of all accounts while presence is unavailable. `since`: when the account set
    its state, in Unix milliseconds. `text`: the text that the account shows beside its state."""
    account: int
    state: str
    since: NotRequired[int]
    text: NotRequired[str]

class MessageEvent(ShownMessage):
    """A new message, from any connection except this one."""
    ev: Literal["message"]

class ChangedEvent(ShownChange):
    """A message has changed. The connection that changed it gets no event."""
    ev: Literal["changed"]

class SyncedEvent(TypedDict):
    """All chats, messages and changes of a sync have been sent."""
    ev: Literal["synced"]
    chats: int
    messages: int
    changes: int

class ChatEvent(ChatResult):
    """The account is in a chat that is new to it. `members`: the first members, at most a hundred. `head`, `rev`: the
    chat's last index and last change when the account joined, or when the join was noticed. `first`: the first index
    that the account may see. Servers of older versions leave all three out."""
    ev: Literal["chat"]
    head: NotRequired[int]
    first: NotRequired[int]
    rev: NotRequired[int]

class GoneEvent(TypedDict):
    """The account is no longer a member of the chat. `why`: the reason, which is left, kicked, disbanded or unknown."""
    ev: Literal["gone"]
    chat: int
    why: str

class RoleEvent(TypedDict):
    """`account` has a new role, which is member, admin or owner. The role is `left` after the account has left the
    group or `by` has removed it. There are no such events in big groups. `version`: the chat's version since this
    change."""
    ev: Literal["role"]
    chat: int
    account: int
    role: str
    by: int
    version: NotRequired[int]

class RenamedEvent(TypedDict):
    ev: Literal["renamed"]
    chat: int
    name: str
    by: int

class SettingsEvent(TypedDict):
    """`by` has changed the group with `set_chat`. The event has all settings except the name, because the event
    `renamed` has that. `edit_s`, `recall_s` and `history_for_new` are null if they are not set. `handle` is left out if
    it is not set."""
    ev: Literal["settings"]
    chat: int
    by: int
    avatar: str
    topic: str
    join_policy: str
    receipts: bool
    edit_s: int | None
    recall_s: int | None
    history_for_new: bool | None
    handle: NotRequired[str]

class MemberEvent(TypedDict):
    """`account` has joined the group. If `accepted` is false, this account's request to join was rejected, and `name`
    is empty. `version`: the chat's version since the join, if it is known."""
    ev: Literal["member"]
    chat: int
    account: int
    name: str
    accepted: bool
    version: NotRequired[int]

class RequestEvent(TypedDict):
    """`account` requests to join `chat`. Without `chat`, it sends a friend request."""
    ev: Literal["request"]
    account: int
    text: str
    chat: NotRequired[int]

class FriendEvent(TypedDict):
    """The other user has answered a friend request, or this account has answered one on another connection."""
    ev: Literal["friend"]
    account: int
    accepted: bool

class ProfileEvent(ProfileResult):
    """The profile of this account or of a friend has changed."""
    ev: Literal["profile"]

class TypingEvent(TypedDict):
    """Another member writes a message. `ttl_ms`: show this for as many milliseconds, or until the member's message
    comes. With 0, the member has stopped."""
    ev: Literal["typing"]
    chat: int
    account: int
    ttl_ms: int

class PresenceEvent(PresenceInfo):
    """A watched account has a new state or a new text, which is shown beside the state."""
    ev: Literal["presence"]

class ReadEvent(TypedDict):
    """On another connection, this account has read the chat up to `index`, by `read` or by sending a message. Or it has
    marked the chat as unread from `unread_from` on. `unread`: the number of unread messages. `mentions`: how many of
    them mention the account."""
    ev: Literal["read"]
    chat: int
    index: int
    unread: int
    mentions: int
    unread_from: NotRequired[int]

class ReceiptsEvent(TypedDict):
    """Other members have read the chat. For each, there is the account and the index up to which it has read."""
    ev: Literal["receipts"]
    chat: int
    upto: list[list[int]]

class MuteEvent(TypedDict):
    """The account has muted the chat on another of its connections."""
    ev: Literal["mute"]
    chat: int
    until: int
    mentions_only: bool

class PlaceEvent(TypedDict):
    """On another connection, this account has changed whether the chat is pinned or archived."""
    ev: Literal["place"]
    chat: int
    pinned: bool
    archived: bool

class DraftEvent(DraftInfo):
    """The account has changed the chat's draft on another connection. If `text` is empty, the draft with this `rev` and
    all earlier drafts are sent or removed. Ignore an event whose `rev` is lower than the last one."""
    ev: Literal["draft"]
    chat: int

class OwnSettingsEvent(SettingsResult):
    """This account has changed its own settings on another connection."""
    ev: Literal["own_settings"]

class NoticeEvent(TypedDict):
    """Maintenance begins (`on`) or ends."""
    ev: Literal["notice"]
    kind: str
    on: bool

class VerifiedEvent(TypedDict):
    """The mailed link was opened. With `passed`, the reply to the login follows. With `wrong` or `expired`, the link
    has verified nothing."""
    ev: Literal["verified"]
    result: str

class ByeEvent(TypedDict):
    """The connection closes. `retry_ms`: reconnect after this time. Without it, do not reconnect automatically."""
    ev: Literal["bye"]
    code: str
    text: str
    retry_ms: NotRequired[int]

Event = (
    MessageEvent | ChangedEvent | SyncedEvent | ChatEvent | GoneEvent | RoleEvent | RenamedEvent | SettingsEvent |
    MemberEvent | RequestEvent | FriendEvent | ProfileEvent | TypingEvent | PresenceEvent | ReadEvent | ReceiptsEvent |
    MuteEvent | PlaceEvent | DraftEvent | OwnSettingsEvent | NoticeEvent | VerifiedEvent | ByeEvent
)
NONCED = (
    "create_bot", "create_bot_token", "send", "forward", "edit", "create", "link", "create_hook",
    "create_outgoing_hook",
)
"""Operations that have their effect once, however often they are sent under one nonce."""


class Operations(ABC):
    """Every operation, with the types of its parameters and of its reply."""

    @overload
    async def call(self, op: Literal["hello"], *, v: Literal[1] = ...) -> HelloResult: ...
    @overload
    async def call(self, op: Literal["ping"]) -> PingResult: ...
    @overload
    async def call(
        self, op: Literal["register"], *, overtaking: bool = ..., secret: SecretParameter, nickname: str,
        email: str = ..., username: str = ..., question_id: int = ..., answer: str = ..., refreshable: bool = ...,
        device: str = ...
    ) -> LoginResult:
        """`refreshable`: whether the reply must have a refresh token. `device`: the name of the device in the list of
        `sessions`. `overtaking`: from now on, replies to commands that only read may come after the replies to later
        commands. These members mean the same in the other operations."""
    @overload
    async def call(
        self, op: Literal["login"], *, overtaking: bool = ..., identifier: str, secret: SecretParameter,
        kind: Literal["any", "email", "id", "username"] = ..., refreshable: bool = ..., device: str = ...
    ) -> LoginResult:
        """`identifier`: an e-mail address, an account's number or a username. If `kind` is `any`, the server tries the
        identifier as a username first."""
    @overload
    async def call(self, op: Literal["token"], *, overtaking: bool = ..., token: str) -> TokenResult: ...
    @overload
    async def call(self, op: Literal["refresh"], *, refresh: str) -> RefreshResult:
        """`refresh`: the refresh token that the login, or the last `refresh`, returned."""
    @overload
    async def call(self, op: Literal["verify_mail"]) -> Nothing: ...
    @overload
    async def call(
        self, op: Literal["recover"], *, identifier: str = ..., question_id: int = ..., answer: str = ...,
        ticket: str = ..., secret: SecretParameter = ...
    ) -> RecoverResult:
        """The parameters have one of three forms. With `identifier` alone, the server mails a ticket to the account, if
        the account's address may get one. With `ticket` and `secret`, the server sets the new password. It also does so
        with `identifier`, `question_id`, `answer` and `secret`."""
    @overload
    async def call(
        self, op: Literal["password"], *, old: SecretParameter, new: SecretParameter, refreshable: bool = ...
    ) -> PasswordResult: ...
    @overload
    async def call(self, op: Literal["set_security"], *, question_id: int, answer: str) -> Nothing: ...
    @overload
    async def call(self, op: Literal["sessions"]) -> SessionsResult: ...
    @overload
    async def call(self, op: Literal["end_session"], *, sid: str) -> Nothing: ...
    @overload
    async def call(self, op: Literal["logout"]) -> Nothing: ...
    @overload
    async def call(self, op: Literal["delete_account"], *, secret: SecretParameter) -> Nothing: ...
    @overload
    async def call(self, op: Literal["create_bot"], *, nickname: str, nonce: str | None = ...) -> CreateBotResult:
        """`nonce`: see `create`."""
    @overload
    async def call(self, op: Literal["bots"]) -> BotsResult: ...
    @overload
    async def call(self, op: Literal["delete_bot"], *, account: int) -> Nothing: ...
    @overload
    async def call(
        self, op: Literal["create_bot_token"], *, account: int, name: str,
        scopes: list[Literal["manage", "react", "read", "send"]], days: int = ..., nonce: str | None = ...
    ) -> CreateBotTokenResult:
        """`name`: the name that the list of tokens shows. `days`: how long the token is valid. Without it, the token is
        valid as long as the server permits. `nonce`: see `create`."""
    @overload
    async def call(self, op: Literal["delete_bot_token"], *, account: int, sid: str) -> Nothing: ...
    @overload
    async def call(self, op: Literal["made"]) -> MadeResult: ...
    @overload
    async def call(self, op: Literal["end_made"]) -> Nothing: ...
    @overload
    async def call(self, op: Literal["export"]) -> ExportResult: ...
    @overload
    async def call(self, op: Literal["export_messages"], *, chat: int, after: int = ...) -> ExportMessagesResult:
        """`after`: the `after` of the previous page."""
    @overload
    async def call(self, op: Literal["settings"]) -> SettingsResult: ...
    @overload
    async def call(
        self, op: Literal["set_settings"], *, if_rev: int | None = ..., language: str = ..., quiet: Quiet | None = ...,
        until: int = ..., level: Literal["all", "mentions", "none"] = ...
    ) -> SetSettingsResult:
        """The members are as in `settings`. A member that is left out does not change. An empty `language`, `quiet`
        null and `until` 0 remove the setting. If `if_rev` is not the present `rev` of the settings, the command is
        rejected (`conflict`)."""
    @overload
    async def call(
        self, op: Literal["send"], *, nonce: str, chat: int = ..., to: int = ..., text: str = ...,
        segments: list[TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment] = ...,
        reply_to: int = ..., draft: int = ...
    ) -> SendResult:
        """The command has either `chat` or `to`, which is the other account of a private chat. It has either `text` or
        `segments`. `reply_to`: the index of another message in the chat. `draft`: the `rev` of the account's draft that
        is sent by this command, and so removed."""
    @overload
    async def call(
        self, op: Literal["forward"], *, chat: int, index: int, into: list[int], nonce: str
    ) -> ForwardResult:
        """`into`: the chats to which the message is forwarded."""
    @overload
    async def call(
        self, op: Literal["edit"], *, chat: int, index: int, nonce: str, text: str = ...,
        segments: list[TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment] = ...,
        if_rev: int | None = ...
    ) -> ChangeResult:
        """The command has either `text` or `segments`. With `if_rev`, the edit succeeds only if the message was not
        edited after this `rev`."""
    @overload
    async def call(self, op: Literal["recall"], *, chat: int, index: int) -> ChangeResult:
        """The message with this index in a chat."""
    @overload
    async def call(self, op: Literal["react"], *, chat: int, index: int, emoji: str) -> ReactResult:
        """`emoji`: one emoji of at most 32 code points, or another text of at most 32 bytes of UTF-8 without white
        space and control characters. Variation selectors make no difference, because the server stores and shows the
        fully-qualified form of Unicode."""
    @overload
    async def call(self, op: Literal["unreact"], *, chat: int, index: int, emoji: str) -> ReactResult:
        """`emoji`: one emoji of at most 32 code points, or another text of at most 32 bytes of UTF-8 without white
        space and control characters. Variation selectors make no difference, because the server stores and shows the
        fully-qualified form of Unicode."""
    @overload
    async def call(
        self, op: Literal["reactors"], *, chat: int, index: int, emoji: str = ..., after: int = ..., count: int = ...
    ) -> ReactorsResult:
        """`emoji`: list only reactions with this emoji. `after`: the last account of the previous page."""
    @overload
    async def call(self, op: Literal["pin"], *, chat: int, index: int) -> ChangeResult:
        """The message with this index in a chat."""
    @overload
    async def call(self, op: Literal["unpin"], *, chat: int, index: int) -> ChangeResult:
        """The message with this index in a chat."""
    @overload
    async def call(self, op: Literal["report"], *, chat: int, index: int, reason: str) -> Nothing:
        """Report a message of another account to the operator, with the `reason`."""
    @overload
    async def call(self, op: Literal["read"], *, chat: int, index: int) -> ReadResult: ...
    @overload
    async def call(self, op: Literal["readers"], *, chat: int, index: int, after: int = ...) -> ReadersResult:
        """`after`: the last account of the previous page."""
    @overload
    async def call(self, op: Literal["unread"]) -> UnreadResult: ...
    @overload
    async def call(self, op: Literal["mark_unread"], *, chat: int, index: int) -> MarkUnreadResult:
        """`index`: the first message that counts as unread."""
    @overload
    async def call(self, op: Literal["draft"], *, chat: int) -> DraftResult: ...
    @overload
    async def call(
        self, op: Literal["set_draft"], *, chat: int, text: str, reply_to: int = ..., base: int = ...
    ) -> SetDraftResult:
        """An empty `text` removes the draft. `base`: the `rev` of the draft that was changed, if there was one."""
    @overload
    async def call(
        self, op: Literal["sync"], *, epoch: str = ..., have: dict[str, list[int]] | str = ...,
        states: dict[str, int] = ..., among: list[int] | None = ..., window: int = ..., timeline: int = ...,
        before: list[int] | None = ..., lists: dict[str, int] = ..., wait_ms: int = ...
    ) -> SyncResult:
        """`have`: for each chat, a list of the last index and the last `rev` up to which the client has everything.
        Without the `rev`, no changes are sent. `have` may instead be a text that also has the `epoch` and the states.
        `states`: the last `state` of each chat that the client knows, or 0 if it knows none. If a chat has no entry, it
        is not listed only because of a new state. `among`: list only chats whose ids are from the first to the second
        of these numbers. `before`: the `before` of the previous page. For the next page, repeat all other members.
        After a `reset`, use the members of `next` instead. `lists`: the last `state` of each list that the client keeps
        (friends, requests, blocks, settings), or 0 if it has none. `wait_ms`: over HTTP, the response may be delayed by
        this time, until something happens."""
    @overload
    async def call(
        self, op: Literal["history"], *, chat: int, from_: int = ..., count: int = ...,
        dir: Literal["newer", "older"] = ..., around: int | None = ..., at: int | None = ...
    ) -> HistoryResult:
        """`from`: an index, or −k for the k-th newest message. `around` instead requests the messages before and after
        an index. `at` requests the messages before and after a time (Unix milliseconds)."""
    @overload
    async def call(self, op: Literal["changes"], *, chat: int, after: int = ...) -> ChangesResult:
        """`after`: the `rev` after which changes are requested."""
    @overload
    async def call(
        self, op: Literal["search"], *, query: str = ..., chat: int | None = ..., from_: int | None = ...,
        before: int | None = ..., after: int | None = ..., has: Literal["file", "image", "link"] | None = ...,
        count: int = ..., page: str | None = ..., context: int = ..., zone: int = ...
    ) -> SearchResult:
        """`query`: a text in the query language. It may be empty with `chat` and `has` or `from`. `from`: the sender.
        `before` and `after` are Unix milliseconds. `page`: the `page` of the previous reply. `context`: how many
        messages before and after each hit are included. `zone`: minutes east of UTC, for dates in the query that have
        no zone."""
    @overload
    async def call(self, op: Literal["typing"], *, chat: int, on: bool = ...) -> Nothing:
        """`on`: false when the user stops writing."""
    @overload
    async def call(self, op: Literal["watch"], *, accounts: list[int]) -> WatchResult:
        """Send the client the presence of these accounts from now on, and of no others."""
    @overload
    async def call(
        self, op: Literal["here"], *, state: Literal["active", "away", "busy", "hidden"], text: str = ...
    ) -> Nothing:
        """`hidden`: others see the state `offline` and no text. `text`: a text that is shown beside the state. The next
        `here` replaces the state and the text."""
    @overload
    async def call(self, op: Literal["profile"], *, account: int) -> ProfileResult: ...
    @overload
    async def call(self, op: Literal["profiles"], *, accounts: list[int]) -> ProfilesResult: ...
    @overload
    async def call(
        self, op: Literal["set_profile"], *, nickname: str = ..., avatar: str = ..., signature: str = ...,
        status: int = ..., icon_id: int = ...
    ) -> Nothing:
        """Members that are left out stay as they are."""
    @overload
    async def call(self, op: Literal["find"], *, query: str) -> FindResult:
        """`query`: a whole account number, username or e-mail address."""
    @overload
    async def call(self, op: Literal["friends"]) -> FriendsResult: ...
    @overload
    async def call(self, op: Literal["requests"]) -> RequestsResult: ...
    @overload
    async def call(self, op: Literal["befriend"], *, account: int, text: str = ...) -> Nothing: ...
    @overload
    async def call(self, op: Literal["answer_friend"], *, account: int, accept: bool) -> Nothing: ...
    @overload
    async def call(self, op: Literal["unfriend"], *, account: int) -> Nothing: ...
    @overload
    async def call(self, op: Literal["block"], *, account: int) -> Nothing: ...
    @overload
    async def call(self, op: Literal["unblock"], *, account: int) -> Nothing: ...
    @overload
    async def call(self, op: Literal["blocks"]) -> BlocksResult: ...
    @overload
    async def call(self, op: Literal["open"], *, account: int) -> OpenResult: ...
    @overload
    async def call(
        self, op: Literal["create"], *, members: list[int] = ..., name: str = ..., avatar: str = ...,
        join_policy: Literal["approval", "closed", "open"] = ..., nonce: str | None = ...
    ) -> ChatResult:
        """If `name` is empty, the chat is named after its members. If the command is repeated with the same `nonce`
        within ten minutes, the first reply is sent again."""
    @overload
    async def call(self, op: Literal["chat"], *, chat: int) -> ChatResult: ...
    @overload
    async def call(
        self, op: Literal["set_chat"], *, chat: int, name: str | None = ..., receipts: bool | None = ...,
        avatar: str | None = ..., topic: str | None = ...,
        join_policy: Literal["approval", "closed", "open"] | None = ..., edit_s: int | None = ...,
        recall_s: int | None = ..., history_for_new: bool | None = ..., handle: str | None = ...
    ) -> VersionResult:
        """Members that are left out do not change. `avatar`: an address, as in `set_profile`. An empty `topic` or
        `avatar` removes it. `join_policy`: as in `create`. With `closed`, accounts join only by a link or an
        invitation. `receipts`: whether members see which messages the others have read. `edit_s`, `recall_s`: the
        seconds for which a sender may edit or recall a message. 0 means never, and null means as long as the server
        allows. The server's limit also holds for other values. `history_for_new`: whether accounts that join from now
        on see earlier messages. With null, they do so only if the group is open. `handle`: the group's name on IRC,
        which is unique in the installation, or empty. Only the owner can set it."""
    @overload
    async def call(self, op: Literal["mute"], *, chat: int, until: int, mentions_only: bool = ...) -> Nothing:
        """`until`: before this time (Unix milliseconds), clients do not alert their user of any message. With 0, they
        alert of all messages. `mentions_only`: whether they alert only of messages that mention the account."""
    @overload
    async def call(self, op: Literal["set_place"], *, chat: int, pinned: bool = ..., archived: bool = ...) -> Nothing:
        """Sets the place of a chat in clients' lists. `pinned`: whether it is shown before the other chats. `archived`:
        whether it is shown apart from them. A member that is left out does not change."""
    @overload
    async def call(self, op: Literal["disband"], *, chat: int) -> VersionResult: ...
    @overload
    async def call(self, op: Literal["join"], *, chat: int, text: str = ...) -> JoinResult: ...
    @overload
    async def call(self, op: Literal["answer_join"], *, chat: int, account: int, accept: bool) -> VersionResult: ...
    @overload
    async def call(
        self, op: Literal["invite"], *, chat: int, account: int | None = ..., accounts: list[int] = ...
    ) -> InviteResult:
        """The command has either `account` or `accounts`."""
    @overload
    async def call(
        self, op: Literal["link"], *, chat: int, uses: int = ..., expires: int = ..., nonce: str | None = ...
    ) -> InvitationResult:
        """`uses`: how many accounts may join. Without it, there is no limit. `expires`: Unix milliseconds. Without it,
        the link never expires. `nonce`: see `create`."""
    @overload
    async def call(self, op: Literal["links"], *, chat: int) -> InvitationsResult: ...
    @overload
    async def call(self, op: Literal["unlink"], *, chat: int, link: str) -> Nothing: ...
    @overload
    async def call(self, op: Literal["join_link"], *, link: str) -> JoinLinkResult: ...
    @overload
    async def call(self, op: Literal["leave"], *, chat: int) -> VersionResult: ...
    @overload
    async def call(self, op: Literal["kick"], *, chat: int, account: int) -> VersionResult: ...
    @overload
    async def call(self, op: Literal["ban"], *, chat: int, account: int, until: int = ...) -> VersionResult:
        """`until`: when the ban ends, in Unix milliseconds. Without it, the ban does not end."""
    @overload
    async def call(self, op: Literal["unban"], *, chat: int, account: int) -> VersionResult: ...
    @overload
    async def call(self, op: Literal["bans"], *, chat: int) -> BansResult: ...
    @overload
    async def call(self, op: Literal["silence"], *, chat: int, until: int, account: int = ...) -> VersionResult:
        """Without `account`, all members except the owner and the admins are silenced. `until`: when the silence ends,
        in Unix milliseconds. With 0, it ends now."""
    @overload
    async def call(self, op: Literal["set_modes"], *, chat: int, changes: list[ModeChangeInfo]) -> VersionResult:
        """Either all changes are made or none."""
    @overload
    async def call(self, op: Literal["masks"], *, chat: int, mode: Literal["I", "b", "e"]) -> MasksResult:
        """`mode`: the list, as in `set_modes`."""
    @overload
    async def call(
        self, op: Literal["members"], *, chat: int, after: int = ..., since: int = ..., query: str = ...,
        count: int | None = ...
    ) -> MembersResult:
        """`after`: the `after` of the previous page or, without that, its last account. `since`: list only accounts
        that have joined or left, or have a new role or silence, after this `version` of the chat. New names and
        pictures do not count. `query`: list only present members whose nickname begins with this text, in upper or
        lower case. For this, one page examines at most 5,000 members. `count`: the most members on the page. Without
        it, there are as many as fit, or 20 with a `query`."""
    @overload
    async def call(
        self, op: Literal["role"], *, chat: int, account: int, role: Literal["admin", "member"]
    ) -> VersionResult: ...
    @overload
    async def call(self, op: Literal["transfer"], *, chat: int, account: int) -> VersionResult: ...
    @overload
    async def call(
        self, op: Literal["create_hook"], *, chat: int, name: str, nonce: str | None = ...
    ) -> CreateHookResult:
        """`name`: the name that the webhook's messages show as their sender. `nonce`: see `create`."""
    @overload
    async def call(self, op: Literal["hooks"], *, chat: int) -> HooksResult: ...
    @overload
    async def call(self, op: Literal["delete_hook"], *, chat: int, hook: str) -> Nothing: ...
    @overload
    async def call(
        self, op: Literal["create_outgoing_hook"], *, chat: int, name: str, nonce: str | None = ..., endpoint: str
    ) -> CreateOutgoingHookResult:
        """`endpoint`: the URL of the program that receives messages. `name`: a name that is shown to admins. `nonce`:
        see `create`."""
    @overload
    async def call(self, op: Literal["outgoing_hooks"], *, chat: int) -> OutgoingHooksResult: ...
    @overload
    async def call(self, op: Literal["delete_outgoing_hook"], *, chat: int, hook: str) -> Nothing: ...
    @overload
    async def call(
        self, op: Literal["replay_outgoing_hook"], *, chat: int, hook: str, index: int
    ) -> ReplayOutgoingHookResult:
        """`index`: the first message to post again."""
    @overload
    async def call(self, op: Literal["push_key"]) -> PushKeyResult: ...
    @overload
    async def call(
        self, op: Literal["subscribe"], *, endpoint: str = ..., p256dh: str | None = ..., auth: str = ...,
        kind: Literal["mail", "unifiedpush", "web"] = ..., key: str | None = ..., language: str = ..., again: bool = ...
    ) -> SubscribeResult:
        """`endpoint`, `p256dh` and `auth` are those of the browser's subscription. `kind`: `unifiedpush` for an Android
        app. With `mail` and without these three members, mails are sent to the verified address while the account has
        no device. `key`: the key with which the browser has subscribed. If this server has another key now, the command
        is rejected (`conflict`). `language`: the language of the notifications, as a BCP 47 tag. `again`: whether the
        client sends the command at its start, without its user. If the user has removed this device elsewhere, the
        command is then rejected (`forbidden`, gone)."""
    @overload
    async def call(self, op: Literal["unsubscribe"], *, subscription: int) -> Nothing: ...
    @overload
    async def call(self, op: Literal["subscriptions"]) -> SubscriptionsResult: ...
    @overload
    async def call(self, op: Literal["test_push"], *, subscription: int) -> Nothing: ...

    async def call(self, op: str, **members: Any) -> Any:
        return await self._call(op, members)

    @abstractmethod
    async def _call(self, op: str, members: dict[str, Any]) -> Any: ...
