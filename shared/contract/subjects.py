"""Every subject on the bus, with its types. No other subject is published or subscribed."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.contract import (
    admin,
    audit,
    auth,
    bots,
    contacts,
    edge,
    events,
    exports,
    hooks,
    installation,
    invitations,
    made,
    members,
    message,
    moderation,
    mutes,
    outgoing_hooks,
    reactions,
    receipts,
    records,
    recovery,
    reports,
    resume,
    search,
    session,
)
from shared.contract.ids import NodeId

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Route(Generic[Q, R]):
    """A request/reply subject. `reply` may be a union; a Failure is always possible as well."""

    subject: str
    request: type[Q]
    reply: type[R]
    template: str = ""
    """The common pattern of a subject with a variable part."""

    @property
    def label(self) -> str:
        """A label of low cardinality, for metrics."""
        return self.template or self.subject


@dataclass(frozen=True)
class Topic(Generic[Q]):
    """A durable event's subject in the stream EVENTS."""

    subject: str
    event: type[Q]


LoginReply = auth.Authenticated | auth.VerificationNeeded

REGISTER: Route[auth.Register, LoginReply] = Route("auth.register", auth.Register, LoginReply)  # type: ignore[arg-type]
LOGIN: Route[auth.Login, LoginReply] = Route("auth.login", auth.Login, LoginReply)  # type: ignore[arg-type]
CHANGE_PASSWORD = Route("auth.change_password", auth.ChangePassword, auth.Authenticated)
RECORD_TOKEN_LOGINS = Route("auth.token_logins", auth.RecordTokenLogins, session.Ack)
REFRESH = Route("auth.refresh", auth.Refresh, auth.Refreshed)
LIST_LOGINS = Route("auth.list_logins", auth.ListLogins, auth.Logins)
END_LOGIN = Route("auth.end_login", auth.EndLogin, session.Ack)
EXPORT_LOGINS = Route("auth.export_logins", exports.ExportLogins, exports.AccountRecord)
LOGOUT = Route("auth.logout", auth.Logout, session.Ack)
SEND_VERIFICATION = Route("auth.send_verification", auth.SendVerification, session.Ack)
OPEN_VERIFICATION = Route("auth.open_verification", auth.OpenVerification, auth.Opened)
DESCRIBE_VERIFICATION = Route("auth.describe_verification", auth.DescribeVerification, auth.Requester)
RECOVER = Route("auth.recover", auth.Recover, recovery.Recovered)
REQUEST_RECOVERY = Route("auth.request_recovery", recovery.RequestRecovery, session.Ack)
RECOVER_BY_TICKET = Route("auth.recover_by_ticket", recovery.RecoverByTicket, recovery.Recovered)
SET_SECURITY = Route("auth.set_security", auth.SetSecurity, session.Ack)
LIST_DELETED_ACCOUNTS = Route("auth.deleted_accounts", auth.ListDeletedAccounts, auth.DeletedAccounts)
DELETE_ACCOUNT = Route("auth.delete_account", auth.DeleteAccount, session.Ack)
LOOK_UP_ACCOUNTS = Route("auth.look_up", contacts.LookUpAccounts, contacts.AccountsLookedUp)
FIND_INACTIVE = Route("auth.inactive", auth.FindInactive, auth.InactiveAccounts)
LIST_REVOCATIONS = Route("auth.watch", auth.ListRevocations, auth.Revocations)
GET_KEYS = Route("auth.keys", auth.GetKeys, auth.Keys)
DESCRIBE_AUTH_DATABASE = Route("auth.database", installation.DescribeDatabase, installation.DatabaseState)
CREATE_BOT = Route("auth.create_bot", bots.CreateBot, bots.CreatedBot)
CREATE_HOOK_ACCOUNT = Route("auth.create_hook_account", bots.CreateHookAccount, bots.CreatedBot)
LIST_BOTS = Route("auth.list_bots", bots.ListBots, bots.BotList)
DELETE_BOT = Route("auth.delete_bot", bots.DeleteBot, session.Ack)
CREATE_BOT_TOKEN = Route("auth.create_bot_token", bots.CreateBotToken, bots.CreatedBotToken)
DELETE_BOT_TOKEN = Route("auth.delete_bot_token", bots.DeleteBotToken, session.Ack)
END_BOT_TOKENS = Route("auth.end_bot_tokens", made.EndMade, session.Ack)
SET_MAINTENANCE = Route("auth.maintenance", auth.SetMaintenance, session.Ack)
LIST_DUPLICATES = Route("auth.admin.duplicates", admin.ListDuplicates, admin.Duplicates)
FIND_USER = Route("auth.admin.find", admin.FindUser, admin.UserView)
SET_DISABLED = Route("auth.admin.disable", admin.SetDisabled, session.Ack)
RESET_PASSWORD = Route("auth.admin.reset", admin.ResetPassword, session.Ack)
KICK = Route("auth.admin.kick", admin.Kick, session.Ack)
LIST_USER_LOGINS = Route("auth.admin.logins", auth.ListLogins, auth.Logins)
END_USER_LOGIN = Route("auth.admin.end_login", auth.EndLogin, session.Ack)
DELETE_USER = Route("auth.admin.delete", auth.DeleteAccount, session.Ack)
SEARCH_TRAIL = Route("auth.admin.trail", admin.SearchTrail, admin.Trail)
RECORD_ACT = Route("auth.admin.record", admin.RecordAct, session.Ack)
CREATE_OPERATOR_BOT = Route("auth.admin.create_bot", bots.CreateBot, bots.CreatedBot)
LIST_ALL_BOTS = Route("auth.admin.bots", bots.ListBots, bots.BotList)
CREATE_ANY_BOT_TOKEN = Route("auth.admin.create_bot_token", bots.CreateBotToken, bots.CreatedBotToken)
DELETE_ANY_BOT_TOKEN = Route("auth.admin.delete_bot_token", bots.DeleteBotToken, session.Ack)

ENSURE_PROFILE = Route("session.ensure_profile", session.EnsureProfile, session.Ack)
GET_ACCOUNT = Route("session.get_account", session.GetAccount, session.AccountView)
SET_PROFILE = Route("session.set_profile", session.SetProfile, session.Ack)
CREATE_CHAT = Route("session.create_chat", session.CreateChat, session.ChatView)
GET_CHAT = Route("session.get_chat", session.GetChat, session.ChatView)
GET_CHATS = Route("session.get_chats", session.GetChats, session.ChatsFound)
LIST_CHATS = Route("session.list_chats", session.ListChats, session.ChatList)
GET_MEMBERSHIP = Route("session.membership", session.GetMembership, session.Membership)
GET_PROFILE_SUMMARIES = Route("session.faces", session.GetProfileSummaries, session.ProfileSummaries)
FIND_ACCOUNTS = Route("session.find_accounts", session.FindAccounts, session.FoundAccounts)
REQUEST_FRIENDSHIP = Route("session.request_friendship", session.RequestFriendship, session.Ack)
ANSWER_FRIENDSHIP = Route("session.answer_friendship", session.AnswerFriendship, session.Ack)
END_FRIENDSHIP = Route("session.end_friendship", session.EndFriendship, session.Ack)
SET_BLOCKED = Route("session.set_blocked", contacts.SetBlocked, session.Ack)
LIST_BLOCKED = Route("session.list_blocked", contacts.ListBlocked, contacts.BlockedAccounts)
FIND_BLOCKED_MEMBERS = Route("session.blocked_members", contacts.FindBlockedMembers, contacts.BlockedMembers)
FIND_WATCHABLE = Route("session.watchable", contacts.FindWatchable, contacts.WatchableAccounts)
OPEN_PRIVATE_CHAT = Route("session.open_private_chat", session.OpenPrivateChat, session.ChatOpened)
REQUEST_MEMBERSHIP = Route("session.request_membership", session.RequestMembership, session.MembershipRequested)
ANSWER_MEMBERSHIP = Route("session.answer_membership", session.AnswerMembership, session.ChatVersion)
ADD_MEMBER = Route("session.add_member", session.AddMember, session.ChatVersion)
ADD_MEMBERS = Route("session.add_members", members.AddMembers, members.MembersAdded)
END_MEMBERSHIP = Route("session.end_membership", session.EndMembership, session.ChatVersion)
SET_ROLE = Route("session.set_role", session.SetRole, session.ChatVersion)
BAN_MEMBER = Route("session.ban_member", moderation.BanMember, session.ChatVersion)
UNBAN_MEMBER = Route("session.unban_member", moderation.UnbanMember, session.ChatVersion)
LIST_BANS = Route("session.list_bans", moderation.ListBans, moderation.BanList)
SILENCE_MEMBER = Route("session.silence_member", moderation.SilenceMember, session.ChatVersion)
DISBAND_CHAT = Route("session.disband_chat", moderation.DisbandChat, session.ChatVersion)
CREATE_LINK = Route("session.create_link", invitations.CreateLink, invitations.InvitationLink)
LIST_LINKS = Route("session.list_links", invitations.ListLinks, invitations.InvitationLinks)
DELETE_LINK = Route("session.delete_link", invitations.DeleteLink, session.Ack)
JOIN_BY_LINK = Route("session.join_by_link", invitations.JoinByLink, invitations.JoinedByLink)
CREATE_HOOK = Route("session.create_hook", hooks.CreateHook, hooks.CreatedHook)
LIST_HOOKS = Route("session.list_hooks", hooks.ListHooks, hooks.HookList)
DELETE_HOOK = Route("session.delete_hook", hooks.DeleteHook, session.Ack)
FIND_HOOK = Route("session.find_hook", hooks.FindHook, hooks.FoundHook)
CREATE_OUTGOING_HOOK = Route(
    "session.create_outgoing_hook", outgoing_hooks.CreateOutgoingHook, outgoing_hooks.CreatedOutgoingHook
)
LIST_OUTGOING_HOOKS = Route(
    "session.list_outgoing_hooks", outgoing_hooks.ListOutgoingHooks, outgoing_hooks.OutgoingHookList
)
DELETE_OUTGOING_HOOK = Route("session.delete_outgoing_hook", outgoing_hooks.DeleteOutgoingHook, session.Ack)
REPLAY_OUTGOING_HOOK = Route(
    "session.replay_outgoing_hook", outgoing_hooks.ReplayOutgoingHook, outgoing_hooks.ReplayedOutgoingHook
)
LIST_MADE = Route("session.made", made.ListMade, made.Made)
END_MADE = Route("session.end_made", made.EndMade, session.Ack)
LIST_ALL_HOOKS = Route("session.admin.hooks", made.ListAllHooks, made.HookPage)
DELETE_ANY_HOOK = Route("session.admin.delete_hook", made.DeleteAnyHook, session.Ack)
LIST_MEMBERS = Route("session.list_members", members.ListMembers, members.MemberList)
RENAME_CHAT = Route("session.rename_chat", session.RenameChat, session.ChatVersion)
LIST_REQUESTS = Route("session.list_requests", session.ListRequests, session.Requests)
LIST_CHAT_VIEWS = Route("session.list_chat_views", session.ListChatViews, session.ChatViews)
LIST_PENDING_NOTICES = Route("session.list_kept", session.ListPendingNotices, session.PendingNotices)
DROP_PENDING_NOTICES = Route("session.drop_kept", session.DropPendingNotices, session.Ack)
LIST_ACCOUNTS = Route("session.admin.accounts", admin.ListAccounts, admin.AccountList)
OPEN_NOTICES = Route("session.admin.notices", admin.OpenNotices, admin.NoticesOpened)
SET_CHAT = Route("session.set_chat", moderation.SetChat, session.ChatVersion)
SET_CHAT_RULES = Route("session.set_chat_rules", moderation.SetChat, session.ChatVersion)
"""As SET_CHAT, of which sessions of the version before would ignore a part, see SetChat.sets_rules."""
MUTE_CHAT = Route("session.mute", mutes.MuteChat, session.Ack)
REPORT_MESSAGE = Route("session.report", reports.ReportMessage, session.Ack)
LIST_OWN_REPORTS = Route("session.reports", reports.ListOwnReports, reports.OwnReports)
LIST_REPORTS = Route("session.admin.reports", reports.ListReports, reports.ReportPage)
CLOSE_REPORT = Route("session.admin.close_report", reports.CloseReport, session.Ack)
FIND_RECEIPT_CHATS = Route("session.receipt_chats", receipts.FindReceiptChats, receipts.ReceiptChats)
DESCRIBE_SESSION_DATABASE = Route("session.database", installation.DescribeDatabase, installation.DatabaseState)
ERASE_PROFILE = Route("session.erase_account", session.EraseAccount, session.Ack)

POST_MESSAGES = Route("message.post", message.PostMessages, message.PostResults)
SYNC = Route("message.sync", message.Sync, message.Synced)
SYNC_CHAT = Route("message.sync_chat", message.SyncChat, message.ChatSynced)
GET_HISTORY = Route("message.history", message.GetHistory, message.History)
GET_UNREAD = Route("message.unread", message.GetUnread, message.Unread)
RESUME = Route("message.resume", resume.Resume, resume.Resumed)
GET_QUOTED = Route("message.quoted", message.GetQuoted, message.Quoted)
CHANGE_MESSAGE = Route("message.change", message.ChangeMessage, message.Changed)
GET_CHANGES = Route("message.changes", message.GetChanges, message.ChangePage)
SEARCH = Route("message.search", search.SearchMessages, search.SearchPage)
FIND_REACTORS = Route("message.reactors", reactions.FindReactors, reactions.Reactors)
FIND_READERS = Route("message.readers", receipts.FindReaders, receipts.Readers)
FIND_READ_INDEXES = Route("message.read_indexes", receipts.FindReadIndexes, receipts.ReadIndexes)
MARK_READ = Route("message.read", message.MarkRead, message.Marked)
GET_HEADS = Route("message.heads", message.GetHeads, message.Heads)
DESCRIBE_MESSAGE_DATABASE = Route("message.database", installation.DescribeDatabase, installation.DatabaseState)
ERASE_READ_STATE = Route("message.erase_account", session.EraseAccount, session.Ack)

FIND_MESSAGE = Route("message.find", audit.FindMessage, audit.StoredMessage)

LOCATE_MESSAGE = Route("edge.all.locate", audit.LocateMessage, audit.MessageAtEdge)
TRACE_MESSAGES = Route("edge.all.trace", audit.TraceMessages, audit.TracedMessages)
START_RECORDING = Route("edge.all.record", records.StartRecording, records.EdgeRecording)
STOP_RECORDING = Route("edge.all.stop_recording", records.StopRecording, records.EdgeRecording)
LIST_RECORDINGS = Route("edge.all.recordings", records.ListRecordings, records.EdgeRecording)
"""Every edge replies to these."""

ACCOUNT_REGISTERED = Topic("events.auth.account_registered", events.AccountRegistered)
BOT_REGISTERED = Topic("events.auth.bot_registered", events.AccountRegistered)
"""Of its own: a version of session without bots would not mark the profile."""
ACCOUNT_DELETED = Topic("events.auth.account_deleted", events.AccountDeleted)
MAIL_REQUESTED = Topic("events.auth.mail_requested", events.MailRequested)
OUTGOING_HOOKS_DUE = Topic("events.message.outgoing_hooks_due", events.OutgoingHooksDue)

STREAM = "EVENTS"
STREAM_SUBJECTS = "events.>"
TOPICS: tuple[Topic, ...] = (  # type: ignore[type-arg]
    ACCOUNT_REGISTERED, BOT_REGISTERED, ACCOUNT_DELETED, MAIL_REQUESTED, OUTGOING_HOOKS_DUE,
)  # fmt: skip
DEAD_LETTERS = "DEAD"
DEAD_LETTER_SUBJECTS = "dead.>"
STREAMS = (STREAM, DEAD_LETTERS)

BROADCAST = "edge.all.deliver"
HEARTBEAT = "edge.all.heartbeat"
NOTIFY_ALL = "edge.all.notify"
AUTH_STATE = "edge.all.auth"
"""Announces auth's Revocations, without the list, to every edge each second."""

SIGNAL = "edge.all.signal"
"""Carries a Signal from one edge to every edge."""

NEW_VERSIONS = "message.all.versions"
"""Announces MembershipVersions to every replica of message."""

PRESENCE_INCOMPLETE = "edge.all.presence"
"""Announces PresenceIncomplete to every process that looks up presence: message, session and edges."""


def deliver(node: NodeId) -> str:
    """Envelopes for one edge node."""
    return f"edge.{node}.deliver"


def notify(node: NodeId) -> str:
    return f"edge.{node}.notify"


def flush(node: NodeId) -> Route[edge.FlushReadState, edge.ReadStateFlushed]:
    return Route(f"edge.{node}.flush", edge.FlushReadState, edge.ReadStateFlushed, "edge.*.flush")


def recording(node: NodeId) -> Route[records.ReadRecording, records.RecordingPage]:
    return Route(f"edge.{node}.recording", records.ReadRecording, records.RecordingPage, "edge.*.recording")


def post(replica: str) -> Route[message.PostMessages, message.PostResults]:
    """POST_MESSAGES to one replica of message, for chats of the partitions that it owns."""
    return Route(f"message.{replica}.post", message.PostMessages, message.PostResults, "message.*.post")


def change(replica: str) -> Route[message.ChangeMessage, message.Changed]:
    """CHANGE_MESSAGE to one replica of message."""
    return Route(f"message.{replica}.change", message.ChangeMessage, message.Changed, "message.*.change")


def health(service: str) -> Topic[events.HealthProbe]:
    """Each service's probe of the stream. A stream of its own would prove nothing: after a full disk, one stream may
    store messages while another does not."""
    return Topic(f"events.{service}.health", events.HealthProbe)


def health_inbox(service: str) -> str:
    """The subject to which the service's probes are delivered."""
    return f"inbox.{service}.health"


def durable(service: str, topic: Topic[Q]) -> str:
    """The name of a service's durable consumer of a topic."""
    return f"{service}-{topic.subject.rsplit('.', 1)[-1]}"
