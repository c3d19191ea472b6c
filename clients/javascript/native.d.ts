// Made by `python -m docs.generate` from the table of operations. Do not edit.

export type Id = number | string;

export type Parameters = { id?: number | string | null };

export interface OvertakingParameters extends Parameters { overtaking?: boolean }

export interface AccountParameters extends Parameters { account: number }

export interface AnswerFriendParameters extends AccountParameters { accept: boolean }

export interface AnswerJoinParameters extends ChatParameters {
  account: number;
  accept: boolean;
}

export interface BanParameters extends MemberParameters { until?: number }

export type BansResult = { bans: Array<BanInfo> };

export type BanInfo = {
  account: number;
  by: number;
  until?: number;
};

export interface BefriendParameters extends AccountParameters { text?: string }

export type BlocksResult = { accounts: Array<number> };

export type BotsResult = { bots: Array<BotInfo> };

export type BotInfo = {
  account: number;
  nickname: string;
  created: number;
  tokens: Array<BotTokenInfo>;
};

export type BotTokenInfo = {
  sid: string;
  name: string;
  scopes: Array<string>;
  created: number;
  expires: number;
};

export type ChangeResult = {
  rev: number;
  time: number;
};

export interface ChangesParameters extends Parameters {
  chat: number;
  after?: number;
}

export type ChangesResult = {
  changes: Array<ShownChange>;
  rev: number;
  more: boolean;
  next?: NextAfter;
};

export type ShownChange = {
  chat: number;
  rev: number;
  index: number;
  kind: string;
  by: number;
  time: number;
  segments?: Array<ShownText | ShownEmoji | ShownImage | ShownFile | ShownMention>;
  reactions?: Record<string, number>;
  mine?: Array<string>;
  emoji?: string;
  on?: boolean;
};

export type ShownText = {
  t: "text";
  text: string;
};

export type ShownEmoji = {
  t: "emoji";
  id: number;
};

export type ShownImage = {
  t: "image";
  media: MediaInfo;
  hash?: string;
  preview?: string;
};

export type MediaInfo = {
  id: string;
  name: string;
  size: number;
  sha256: string;
  mime: string;
  url: string;
  width?: number;
  height?: number;
};

export type ShownFile = {
  t: "file";
  media: MediaInfo;
};

export type ShownMention = {
  t: "mention";
  account: number;
  text: string;
};

export type NextAfter = { after: number };

export interface ChatParameters extends Parameters { chat: number }

export type ChatResult = {
  chat: number;
  kind: string;
  name: string;
  avatar: string;
  owner: number;
  join_policy: string;
  created: number;
  version: number;
  members: Array<number>;
  receipts: boolean;
  topic: string;
  muted_until?: number;
  mentions_only?: boolean;
  pinned?: boolean;
  archived?: boolean;
  edit_s?: number;
  recall_s?: number;
  history_for_new?: boolean;
  handle?: string;
};

export interface CreateBotParameters extends Parameters {
  nickname: string;
  nonce?: string | null;
}

export type CreateBotResult = {
  account: number;
  uuid: string;
};

export interface CreateBotTokenParameters extends AccountParameters {
  name: string;
  scopes: Array<"manage" | "react" | "read" | "send">;
  days?: number;
  nonce?: string | null;
}

export type CreateBotTokenResult = {
  sid: string;
  token: string;
  expires: number;
};

export interface CreateHookParameters extends ChatParameters {
  name: string;
  nonce?: string | null;
}

export type CreateHookResult = {
  hook: string;
  secret: string;
  account?: number;
};

export interface CreateOutgoingHookParameters extends CreateHookParameters { endpoint: string }

export type CreateOutgoingHookResult = {
  hook: string;
  secret: string;
  next: number;
};

export interface CreateParameters extends Parameters {
  members?: Array<number>;
  name?: string;
  avatar?: string;
  join_policy?: "approval" | "closed" | "open";
  nonce?: string | null;
}

export interface DeleteAccountParameters extends Parameters { secret: SecretParameter }

export type SecretParameter = {
  scheme: "md5" | "plain" | "sha256";
  value: string;
};

export interface DeleteBotTokenParameters extends AccountParameters { sid: string }

export interface DeleteHookParameters extends ChatParameters { hook: string }

export type DraftResult = { draft?: DraftInfo };

export type DraftInfo = {
  rev: number;
  text: string;
  reply_to?: number;
  cut?: boolean;
};

export interface EditParameters extends IndexParameters {
  nonce: string;
  text?: string;
  segments?: Array<TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment>;
  if_rev?: number | null;
}

export type TextSegment = {
  t: "text";
  text: string;
};

export type EmojiSegment = {
  t: "emoji";
  id: number;
};

export type ImageReference = {
  t: "image";
  media: string;
  name?: string;
  hash?: string;
  preview?: string | null;
};

export type FileReference = {
  t: "file";
  media: string;
  name?: string;
};

export type MentionSegment = {
  t: "mention";
  account: number;
  text: string;
};

export interface EndSessionParameters extends Parameters { sid: string }

export interface ExportMessagesParameters extends Parameters {
  chat: number;
  after?: number;
}

export type ExportMessagesResult = {
  messages: Array<ShownMessage>;
  after: number;
  more: boolean;
  draft?: DraftInfo;
  next?: NextAfter;
};

export type ShownMessage = {
  chat: number;
  index: number;
  id: number;
  sender: number;
  time: number;
  segments: Array<ShownText | ShownEmoji | ShownImage | ShownFile | ShownMention>;
  to?: number;
  face?: SenderInfo;
  edited?: boolean;
  recalled?: boolean;
  reactions?: Record<string, number>;
  mine?: Array<string>;
  reply_to?: number;
};

export type SenderInfo = {
  nickname: string;
  uuid: string;
  v?: number;
};

export type ExportResult = {
  account: number;
  email: string;
  email_verified: boolean;
  username: string;
  created: number;
  question_id: number;
  exported: number;
  profile: ProfileResult;
  friends: Array<number>;
  requests: RequestsResult;
  blocks: Array<number>;
  chats: Array<number>;
  left_chats: Array<number>;
  sessions: Array<SessionInfo>;
  bots: Array<BotInfo>;
  reports: Array<ReportInfo>;
  hooks: Array<MadeHookInfo>;
  links: Array<MadeLinkInfo>;
  settings: SettingsResult;
  subscriptions: Array<SubscriptionInfo>;
  metadata: Record<string, string>;
};

export type ProfileResult = {
  account: number;
  uuid: string;
  nickname: string;
  avatar: string;
  signature: string;
  status: number;
  icon_id: number;
  deleted: boolean;
  bot?: boolean;
  v?: number;
  nick?: string;
};

export type RequestsResult = {
  friends: Array<FriendRequest>;
  joins: Array<JoinRequest>;
};

export type FriendRequest = {
  account: number;
  text: string;
};

export type JoinRequest = {
  account: number;
  chat: number;
  text: string;
};

export type SessionInfo = {
  sid: string;
  created: number;
  expires: number;
  address: string;
  dialect: string;
  here: boolean;
  device: string;
};

export type ReportInfo = {
  chat: number;
  index: number;
  reason: string;
  time: number;
};

export type MadeHookInfo = {
  hook: string;
  chat: number;
  name: string;
  created: number;
  origin?: string;
};

export type MadeLinkInfo = {
  link: string;
  chat: number;
  created: number;
  uses?: number;
  expires?: number;
};

export type SettingsResult = {
  rev: number;
  level: string;
  language?: string;
  quiet?: Quiet;
  until?: number;
};

export type Quiet = {
  tz: string;
  from: string;
  to: string;
};

export type SubscriptionInfo = {
  subscription: number;
  session: string;
  origin: string;
  kind: string;
  created: number;
  here?: boolean;
  language?: string;
  last_ok?: number;
  last_error?: string;
};

export interface FindParameters extends Parameters { query: string }

export type FindResult = { accounts: Array<ProfileResult> };

export interface ForwardParameters extends IndexParameters {
  into: Array<number>;
  nonce: string;
}

export type ForwardResult = { results: Array<ForwardInfo> };

export type ForwardInfo = {
  chat: number;
  index?: number;
  id?: number;
  time?: number;
  again?: boolean;
  failure?: ErrorInfo;
};

export type ErrorInfo = {
  code: "conflict" | "forbidden" | "internal" | "invalid" | "limit" | "not_found" | "rate_limited" | "too_large" | "unauthenticated" | "unavailable" | "unsupported";
  text: string;
  field?: string;
  retry_ms?: number;
  unknown?: boolean;
  reason?: "banned" | "blocked" | "changed" | "choice" | "closed" | "disabled" | "form" | "friends_already" | "gone" | "length" | "member_already" | "missing" | "nonce_used" | "not_admin" | "not_friend" | "not_member" | "not_owner" | "not_sender" | "not_verified" | "range" | "scope" | "silenced" | "switched_off" | "taken" | "too_old" | "type" | "weak_login" | "wrong_key" | "wrong_kind";
  request?: string;
};

export type FriendsResult = { friends: Array<number> };

export interface HelloParameters extends Parameters { v?: 1 }

export type HelloResult = {
  v: number;
  server: string;
  limits: ServerLimits;
  operations: Array<string>;
  time: number;
  ping_ms: number;
  build: string;
  features: Array<string>;
  entrance?: EntranceInfo;
  web?: string;
};

export type ServerLimits = {
  text_bytes: number;
  frame_bytes: number;
  segments: number;
  file_bytes: number;
  rates: Record<string, [number, number]>;
  waiting: number;
  nickname_characters: number;
  group_name_characters: number;
  topic_characters: number;
  members_per_group: number;
};

export type EntranceInfo = {
  registration: string;
  recovery: Array<string>;
  secret_min: number;
};

export interface HereParameters extends Parameters {
  state: "active" | "away" | "busy" | "hidden";
  text?: string;
}

export interface HistoryParameters extends Parameters {
  chat: number;
  from?: number;
  count?: number;
  dir?: "newer" | "older";
  around?: number | null;
  at?: number | null;
}

export type HistoryResult = {
  messages: Array<ShownMessage>;
  head: number;
  more: boolean;
  rev: number;
  older?: boolean;
  newer?: boolean;
  next?: NextMessages;
};

export type NextMessages = { from: number };

export type HooksResult = { hooks: Array<HookInfo> };

export type HookInfo = {
  hook: string;
  name: string;
  by: number;
  created: number;
  paused?: boolean;
  account?: number;
};

export interface IndexParameters extends Parameters {
  chat: number;
  index: number;
}

export type InvitationResult = {
  link: string;
  by: number;
  uses?: number;
  expires?: number;
  paused?: boolean;
};

export type InvitationsResult = { links: Array<InvitationResult> };

export interface InviteParameters extends ChatParameters {
  account?: number | null;
  accounts?: Array<number>;
}

export type InviteResult = {
  version?: number;
  added?: Array<number>;
  rejected?: Record<string, string>;
};

export interface JoinLinkParameters extends Parameters { link: string }

export type JoinLinkResult = {
  chat: number;
  name: string;
  version?: number;
};

export interface JoinParameters extends ChatParameters { text?: string }

export type JoinResult = {
  joined: boolean;
  name: string;
  version?: number;
};

export interface LinkParameters extends ChatParameters {
  uses?: number;
  expires?: number;
  nonce?: string | null;
}

export interface LoginParameters extends OvertakingParameters {
  identifier: string;
  secret: SecretParameter;
  kind?: "any" | "email" | "id" | "username";
  refreshable?: boolean;
  device?: string;
}

export type LoginResult = {
  account?: number;
  sid?: string;
  token?: string;
  expires?: number;
  uuid?: string;
  nickname?: string;
  verify?: VerificationInfo;
  refresh?: string;
  refresh_expires?: number;
  time?: number;
};

export type VerificationInfo = { expires: number };

export type MadeResult = {
  hooks: Array<MadeHookInfo>;
  links: Array<MadeLinkInfo>;
  bots: Array<BotInfo>;
};

export interface MarkUnreadParameters extends IndexParameters {}

export type MarkUnreadResult = {
  unread: number;
  mentions: number;
};

export interface MasksParameters extends ChatParameters { mode: "I" | "b" | "e" }

export type MasksResult = { masks: Array<MaskInfo> };

export type MaskInfo = {
  mask: string;
  by: string;
  time: number;
};

export interface MemberParameters extends ChatParameters { account: number }

export interface MembersParameters extends ChatParameters {
  after?: number;
  since?: number;
  query?: string;
  count?: number | null;
}

export type MembersResult = {
  members: Array<MemberInfo>;
  more: boolean;
  silenced?: number;
  version?: number;
  since?: number;
  after?: number;
  next?: NextAfter;
};

export type MemberInfo = {
  account: number;
  role: string;
  silenced?: number;
  nickname?: string;
  avatar?: string;
};

export interface MuteParameters extends ChatParameters {
  until: number;
  mentions_only?: boolean;
}

export interface NoParameters extends Parameters {}

export type Nothing = object;

export type OpenResult = { chat: number };

export type OutgoingHooksResult = { hooks: Array<OutgoingHookInfo> };

export type OutgoingHookInfo = {
  hook: string;
  name: string;
  by: number;
  origin: string;
  created: number;
  next: number;
  state: string;
  last_error?: string;
  paused?: boolean;
};

export interface PasswordParameters extends Parameters {
  old: SecretParameter;
  new: SecretParameter;
  refreshable?: boolean;
}

export interface PasswordResult extends LoginResult { made?: MadeCount }

export type MadeCount = {
  hooks: number;
  outgoing_hooks: number;
  links: number;
  bot_tokens: number;
};

export type PingResult = { time: number };

export interface PlaceParameters extends ChatParameters {
  pinned?: boolean;
  archived?: boolean;
}

export interface ProfileParameters extends Parameters {
  nickname?: string;
  avatar?: string;
  signature?: string;
  status?: number;
  icon_id?: number;
}

export interface ProfilesParameters extends Parameters { accounts: Array<number> }

export type ProfilesResult = { profiles: Array<Card> };

export type Card = {
  account: number;
  nickname: string;
  avatar: string;
  v?: number;
  deleted?: boolean;
};

export type PushKeyResult = {
  key: string;
  mail_minutes?: number;
};

export interface ReactParameters extends IndexParameters { emoji: string }

export type ReactResult = {
  rev: number;
  count: number;
};

export interface ReactorsParameters extends IndexParameters {
  emoji?: string;
  after?: number;
  count?: number;
}

export type ReactorsResult = {
  reactors: Array<ReactorInfo>;
  more: boolean;
  next?: NextAfter;
};

export type ReactorInfo = {
  account: number;
  emojis: Array<string>;
};

export interface ReadParameters extends IndexParameters {}

export type ReadResult = {
  unread?: number;
  mentions?: number;
  index?: number;
};

export interface ReadersParameters extends IndexParameters { after?: number }

export type ReadersResult = {
  count: number;
  accounts: Array<number>;
  more: boolean;
  next?: NextAfter;
};

export interface RecoverParameters extends Parameters {
  identifier?: string;
  question_id?: number;
  answer?: string;
  ticket?: string;
  secret?: SecretParameter;
}

export type RecoverResult = { made?: MadeCount };

export interface RefreshParameters extends Parameters { refresh: string }

export type RefreshResult = {
  account: number;
  sid: string;
  token: string;
  expires: number;
  refresh: string;
  refresh_expires: number;
  time: number;
};

export interface RegisterParameters extends OvertakingParameters {
  secret: SecretParameter;
  nickname: string;
  email?: string;
  username?: string;
  question_id?: number;
  answer?: string;
  refreshable?: boolean;
  device?: string;
}

export interface ReplayOutgoingHookParameters extends DeleteHookParameters { index: number }

export type ReplayOutgoingHookResult = { next: number };

export interface ReportParameters extends IndexParameters { reason: string }

export interface RoleParameters extends MemberParameters { role: "admin" | "member" }

export interface SearchParameters extends Parameters {
  query?: string;
  chat?: number | null;
  from?: number | null;
  before?: number | null;
  after?: number | null;
  has?: "file" | "image" | "link" | null;
  count?: number;
  page?: string | null;
  context?: number;
  zone?: number;
}

export type SearchResult = {
  hits: Array<FoundMessage>;
  indexed_to: number;
  page?: string;
  around?: Array<ShownMessage>;
  next?: NextFound;
};

export type FoundMessage = {
  chat: number;
  index: number;
  id: number;
  sender: number;
  time: number;
  snippet: string;
  marks: Array<[number, number]>;
};

export type NextFound = { page: string };

export interface SecurityParameters extends Parameters {
  question_id: number;
  answer: string;
}

export interface SendParameters extends Parameters {
  nonce: string;
  chat?: number;
  to?: number;
  text?: string;
  segments?: Array<TextSegment | EmojiSegment | ImageReference | FileReference | MentionSegment>;
  reply_to?: number;
  draft?: number;
}

export type SendResult = {
  chat: number;
  index: number;
  id: number;
  time: number;
  again?: boolean;
};

export type SessionsResult = { sessions: Array<SessionInfo> };

export interface SetChatParameters extends ChatParameters {
  name?: string | null;
  receipts?: boolean | null;
  avatar?: string | null;
  topic?: string | null;
  join_policy?: "approval" | "closed" | "open" | null;
  edit_s?: number | null;
  recall_s?: number | null;
  history_for_new?: boolean | null;
  handle?: string | null;
}

export interface SetDraftParameters extends ChatParameters {
  text: string;
  reply_to?: number;
  base?: number;
}

export type SetDraftResult = {
  rev?: number;
  conflict?: DraftInfo;
};

export interface SetModesParameters extends ChatParameters { changes: Array<ModeChangeInfo> }

export type ModeChangeInfo = {
  on: boolean;
  mode: "C" | "I" | "b" | "e" | "k" | "l" | "n" | "s" | "t" | "v";
  text?: string;
};

export interface SetSettingsParameters extends Parameters {
  if_rev?: number | null;
  language?: string;
  quiet?: Quiet | null;
  until?: number;
  level?: "all" | "mentions" | "none";
}

export type SetSettingsResult = { rev: number };

export interface SilenceParameters extends ChatParameters {
  until: number;
  account?: number;
}

export interface SubscribeParameters extends Parameters {
  endpoint?: string;
  p256dh?: string | null;
  auth?: string;
  kind?: "mail" | "unifiedpush" | "web";
  key?: string | null;
  language?: string;
  again?: boolean;
}

export type SubscribeResult = { subscription: number };

export interface SubscriptionParameters extends Parameters { subscription: number }

export type SubscriptionsResult = { subscriptions: Array<SubscriptionInfo> };

export interface SyncParameters extends Parameters {
  epoch?: string;
  have?: Record<string, Array<number>> | string;
  states?: Record<string, number>;
  among?: [number, number] | null;
  window?: number;
  timeline?: number;
  before?: [number, number] | null;
  lists?: Record<string, number>;
  wait_ms?: number;
}

export type SyncResult = {
  epoch: string;
  reset: boolean;
  chats: Array<ChatHead>;
  gone: Array<number>;
  away: Array<number>;
  before?: Array<number>;
  lists?: ChangedLists;
  next?: NextChats;
};

export type ChatHead = {
  chat: number;
  kind: string;
  name: string;
  avatar: string;
  owner: number;
  join_policy: string;
  version: number;
  head: number;
  time: number;
  first: number;
  read: number;
  unread: number;
  rev: number;
  gap?: Gap;
  changes_after?: number;
  pins?: Array<number>;
  mentions?: number;
  topic?: string;
  muted_until?: number;
  mentions_only?: boolean;
  pinned?: boolean;
  archived?: boolean;
  members?: Array<number>;
  face?: SenderInfo;
  role?: string;
  receipts?: boolean;
  edit_s?: number;
  recall_s?: number;
  history_for_new?: boolean;
  handle?: string;
  state?: number;
  unread_from?: number;
  draft?: DraftInfo;
  last?: LastInfo;
};

export type Gap = {
  from: number;
  to: number;
};

export type LastInfo = {
  index: number;
  sender: number;
  text: string;
  kind: string;
};

export type ChangedLists = {
  friends?: FriendsList;
  requests?: RequestsList;
  blocks?: BlocksList;
  settings?: SettingsList;
};

export interface FriendsList extends FriendsResult {
  v: Array<number>;
  state: number;
}

export interface RequestsList extends RequestsResult { state: number }

export interface BlocksList extends BlocksResult { state: number }

export interface SettingsList extends SettingsResult { state: number }

export type NextChats = {
  before: Array<number>;
  epoch?: string;
  have?: Record<string, Array<number>>;
  states?: Record<string, number>;
  among?: null;
};

export interface TokenParameters extends OvertakingParameters { token: string }

export type TokenResult = {
  account: number;
  sid: string;
  expires: number;
  time: number;
};

export interface TypingParameters extends ChatParameters { on?: boolean }

export interface UnlinkParameters extends ChatParameters { link: string }

export type UnreadResult = {
  total: number;
  mentions: number;
  chats: Array<UnreadChat>;
};

export type UnreadChat = {
  chat: number;
  unread: number;
  mentions: number;
};

export type VersionResult = { version?: number };

export interface WatchParameters extends Parameters { accounts: Array<number> }

export type WatchResult = { presence: Array<PresenceInfo> };

export type PresenceInfo = {
  account: number;
  state: string;
  since?: number;
  text?: string;
};

export interface MessageEvent extends ShownMessage { ev: "message" }

export interface ChangedEvent extends ShownChange { ev: "changed" }

export interface ResumedEvent extends SyncResult { ev: "resumed" }

export type CursorEvent = {
  ev: "cursor";
  have: string;
};

export type SyncedEvent = {
  ev: "synced";
  chats: number;
  messages: number;
  changes: number;
};

export interface ChatEvent extends ChatResult {
  ev: "chat";
  head?: number;
  first?: number;
  rev?: number;
}

export type GoneEvent = {
  ev: "gone";
  chat: number;
  why: string;
};

export type RoleEvent = {
  ev: "role";
  chat: number;
  account: number;
  role: string;
  by: number;
  version?: number;
};

export type RenamedEvent = {
  ev: "renamed";
  chat: number;
  name: string;
  by: number;
};

export type SettingsEvent = {
  ev: "settings";
  chat: number;
  by: number;
  avatar: string;
  topic: string;
  join_policy: string;
  receipts: boolean;
  edit_s: number | null;
  recall_s: number | null;
  history_for_new: boolean | null;
  handle?: string;
};

export type MemberEvent = {
  ev: "member";
  chat: number;
  account: number;
  name: string;
  accepted: boolean;
  version?: number;
};

export type RequestEvent = {
  ev: "request";
  account: number;
  text: string;
  chat?: number;
};

export type FriendEvent = {
  ev: "friend";
  account: number;
  accepted: boolean;
};

export interface ProfileEvent extends ProfileResult { ev: "profile" }

export type TypingEvent = {
  ev: "typing";
  chat: number;
  account: number;
  ttl_ms: number;
};

export interface PresenceEvent extends PresenceInfo { ev: "presence" }

export type ReadEvent = {
  ev: "read";
  chat: number;
  index: number;
  unread: number;
  mentions: number;
  unread_from?: number;
};

export type ReceiptsEvent = {
  ev: "receipts";
  chat: number;
  upto: Array<[number, number]>;
};

export type MuteEvent = {
  ev: "mute";
  chat: number;
  until: number;
  mentions_only: boolean;
};

export type PlaceEvent = {
  ev: "place";
  chat: number;
  pinned: boolean;
  archived: boolean;
};

export interface DraftEvent extends DraftInfo {
  ev: "draft";
  chat: number;
}

export interface OwnSettingsEvent extends SettingsResult { ev: "own_settings" }

export type NoticeEvent = {
  ev: "notice";
  kind: string;
  on: boolean;
};

export type VerifiedEvent = {
  ev: "verified";
  result: string;
};

export type ByeEvent = {
  ev: "bye";
  code: string;
  text: string;
  retry_ms?: number;
};

export type HelloCommand = HelloParameters & { op: "hello" };

export type HelloReply = HelloResult & { re: Id };

export type PingCommand = NoParameters & { op: "ping" };

export type PingReply = PingResult & { re: Id };

export type RegisterCommand = RegisterParameters & { op: "register" };

export type RegisterReply = LoginResult & { re: Id };

export type LoginCommand = LoginParameters & { op: "login" };

export type LoginReply = LoginResult & { re: Id };

export type TokenCommand = TokenParameters & { op: "token" };

export type TokenReply = TokenResult & { re: Id };

export type RefreshCommand = RefreshParameters & { op: "refresh" };

export type RefreshReply = RefreshResult & { re: Id };

export type VerifyMailCommand = NoParameters & { op: "verify_mail" };

export type VerifyMailReply = Nothing & { re: Id };

export type RecoverCommand = RecoverParameters & { op: "recover" };

export type RecoverReply = RecoverResult & { re: Id };

export type PasswordCommand = PasswordParameters & { op: "password" };

export type PasswordReply = PasswordResult & { re: Id };

export type SetSecurityCommand = SecurityParameters & { op: "set_security" };

export type SetSecurityReply = Nothing & { re: Id };

export type SessionsCommand = NoParameters & { op: "sessions" };

export type SessionsReply = SessionsResult & { re: Id };

export type EndSessionCommand = EndSessionParameters & { op: "end_session" };

export type EndSessionReply = Nothing & { re: Id };

export type LogoutCommand = NoParameters & { op: "logout" };

export type LogoutReply = Nothing & { re: Id };

export type DeleteAccountCommand = DeleteAccountParameters & { op: "delete_account" };

export type DeleteAccountReply = Nothing & { re: Id };

export type CreateBotCommand = CreateBotParameters & { op: "create_bot" };

export type CreateBotReply = CreateBotResult & { re: Id };

export type BotsCommand = NoParameters & { op: "bots" };

export type BotsReply = BotsResult & { re: Id };

export type DeleteBotCommand = AccountParameters & { op: "delete_bot" };

export type DeleteBotReply = Nothing & { re: Id };

export type CreateBotTokenCommand = CreateBotTokenParameters & { op: "create_bot_token" };

export type CreateBotTokenReply = CreateBotTokenResult & { re: Id };

export type DeleteBotTokenCommand = DeleteBotTokenParameters & { op: "delete_bot_token" };

export type DeleteBotTokenReply = Nothing & { re: Id };

export type MadeCommand = NoParameters & { op: "made" };

export type MadeReply = MadeResult & { re: Id };

export type EndMadeCommand = NoParameters & { op: "end_made" };

export type EndMadeReply = Nothing & { re: Id };

export type ExportCommand = NoParameters & { op: "export" };

export type ExportReply = ExportResult & { re: Id };

export type ExportMessagesCommand = ExportMessagesParameters & { op: "export_messages" };

export type ExportMessagesReply = ExportMessagesResult & { re: Id };

export type SettingsCommand = NoParameters & { op: "settings" };

export type SettingsReply = SettingsResult & { re: Id };

export type SetSettingsCommand = SetSettingsParameters & { op: "set_settings" };

export type SetSettingsReply = SetSettingsResult & { re: Id };

export type SendCommand = SendParameters & { op: "send" };

export type SendReply = SendResult & { re: Id };

export type ForwardCommand = ForwardParameters & { op: "forward" };

export type ForwardReply = ForwardResult & { re: Id };

export type EditCommand = EditParameters & { op: "edit" };

export type EditReply = ChangeResult & { re: Id };

export type RecallCommand = IndexParameters & { op: "recall" };

export type RecallReply = ChangeResult & { re: Id };

export type ReactCommand = ReactParameters & { op: "react" };

export type ReactReply = ReactResult & { re: Id };

export type UnreactCommand = ReactParameters & { op: "unreact" };

export type UnreactReply = ReactResult & { re: Id };

export type ReactorsCommand = ReactorsParameters & { op: "reactors" };

export type ReactorsReply = ReactorsResult & { re: Id };

export type PinCommand = IndexParameters & { op: "pin" };

export type PinReply = ChangeResult & { re: Id };

export type UnpinCommand = IndexParameters & { op: "unpin" };

export type UnpinReply = ChangeResult & { re: Id };

export type ReportCommand = ReportParameters & { op: "report" };

export type ReportReply = Nothing & { re: Id };

export type ReadCommand = ReadParameters & { op: "read" };

export type ReadReply = ReadResult & { re: Id };

export type ReadersCommand = ReadersParameters & { op: "readers" };

export type ReadersReply = ReadersResult & { re: Id };

export type UnreadCommand = NoParameters & { op: "unread" };

export type UnreadReply = UnreadResult & { re: Id };

export type MarkUnreadCommand = MarkUnreadParameters & { op: "mark_unread" };

export type MarkUnreadReply = MarkUnreadResult & { re: Id };

export type DraftCommand = ChatParameters & { op: "draft" };

export type DraftReply = DraftResult & { re: Id };

export type SetDraftCommand = SetDraftParameters & { op: "set_draft" };

export type SetDraftReply = SetDraftResult & { re: Id };

export type SyncCommand = SyncParameters & { op: "sync" };

export type SyncReply = SyncResult & { re: Id };

export type HistoryCommand = HistoryParameters & { op: "history" };

export type HistoryReply = HistoryResult & { re: Id };

export type ChangesCommand = ChangesParameters & { op: "changes" };

export type ChangesReply = ChangesResult & { re: Id };

export type SearchCommand = SearchParameters & { op: "search" };

export type SearchReply = SearchResult & { re: Id };

export type TypingCommand = TypingParameters & { op: "typing" };

export type TypingReply = Nothing & { re: Id };

export type WatchCommand = WatchParameters & { op: "watch" };

export type WatchReply = WatchResult & { re: Id };

export type HereCommand = HereParameters & { op: "here" };

export type HereReply = Nothing & { re: Id };

export type ProfileCommand = AccountParameters & { op: "profile" };

export type ProfileReply = ProfileResult & { re: Id };

export type ProfilesCommand = ProfilesParameters & { op: "profiles" };

export type ProfilesReply = ProfilesResult & { re: Id };

export type SetProfileCommand = ProfileParameters & { op: "set_profile" };

export type SetProfileReply = Nothing & { re: Id };

export type FindCommand = FindParameters & { op: "find" };

export type FindReply = FindResult & { re: Id };

export type FriendsCommand = NoParameters & { op: "friends" };

export type FriendsReply = FriendsResult & { re: Id };

export type RequestsCommand = NoParameters & { op: "requests" };

export type RequestsReply = RequestsResult & { re: Id };

export type BefriendCommand = BefriendParameters & { op: "befriend" };

export type BefriendReply = Nothing & { re: Id };

export type AnswerFriendCommand = AnswerFriendParameters & { op: "answer_friend" };

export type AnswerFriendReply = Nothing & { re: Id };

export type UnfriendCommand = AccountParameters & { op: "unfriend" };

export type UnfriendReply = Nothing & { re: Id };

export type BlockCommand = AccountParameters & { op: "block" };

export type BlockReply = Nothing & { re: Id };

export type UnblockCommand = AccountParameters & { op: "unblock" };

export type UnblockReply = Nothing & { re: Id };

export type BlocksCommand = NoParameters & { op: "blocks" };

export type BlocksReply = BlocksResult & { re: Id };

export type OpenCommand = AccountParameters & { op: "open" };

export type OpenReply = OpenResult & { re: Id };

export type CreateCommand = CreateParameters & { op: "create" };

export type CreateReply = ChatResult & { re: Id };

export type ChatCommand = ChatParameters & { op: "chat" };

export type ChatReply = ChatResult & { re: Id };

export type SetChatCommand = SetChatParameters & { op: "set_chat" };

export type SetChatReply = VersionResult & { re: Id };

export type MuteCommand = MuteParameters & { op: "mute" };

export type MuteReply = Nothing & { re: Id };

export type SetPlaceCommand = PlaceParameters & { op: "set_place" };

export type SetPlaceReply = Nothing & { re: Id };

export type DisbandCommand = ChatParameters & { op: "disband" };

export type DisbandReply = VersionResult & { re: Id };

export type JoinCommand = JoinParameters & { op: "join" };

export type JoinReply = JoinResult & { re: Id };

export type AnswerJoinCommand = AnswerJoinParameters & { op: "answer_join" };

export type AnswerJoinReply = VersionResult & { re: Id };

export type InviteCommand = InviteParameters & { op: "invite" };

export type InviteReply = InviteResult & { re: Id };

export type LinkCommand = LinkParameters & { op: "link" };

export type LinkReply = InvitationResult & { re: Id };

export type LinksCommand = ChatParameters & { op: "links" };

export type LinksReply = InvitationsResult & { re: Id };

export type UnlinkCommand = UnlinkParameters & { op: "unlink" };

export type UnlinkReply = Nothing & { re: Id };

export type JoinLinkCommand = JoinLinkParameters & { op: "join_link" };

export type JoinLinkReply = JoinLinkResult & { re: Id };

export type LeaveCommand = ChatParameters & { op: "leave" };

export type LeaveReply = VersionResult & { re: Id };

export type KickCommand = MemberParameters & { op: "kick" };

export type KickReply = VersionResult & { re: Id };

export type BanCommand = BanParameters & { op: "ban" };

export type BanReply = VersionResult & { re: Id };

export type UnbanCommand = MemberParameters & { op: "unban" };

export type UnbanReply = VersionResult & { re: Id };

export type BansCommand = ChatParameters & { op: "bans" };

export type BansReply = BansResult & { re: Id };

export type SilenceCommand = SilenceParameters & { op: "silence" };

export type SilenceReply = VersionResult & { re: Id };

export type SetModesCommand = SetModesParameters & { op: "set_modes" };

export type SetModesReply = VersionResult & { re: Id };

export type MasksCommand = MasksParameters & { op: "masks" };

export type MasksReply = MasksResult & { re: Id };

export type MembersCommand = MembersParameters & { op: "members" };

export type MembersReply = MembersResult & { re: Id };

export type RoleCommand = RoleParameters & { op: "role" };

export type RoleReply = VersionResult & { re: Id };

export type TransferCommand = MemberParameters & { op: "transfer" };

export type TransferReply = VersionResult & { re: Id };

export type CreateHookCommand = CreateHookParameters & { op: "create_hook" };

export type CreateHookReply = CreateHookResult & { re: Id };

export type HooksCommand = ChatParameters & { op: "hooks" };

export type HooksReply = HooksResult & { re: Id };

export type DeleteHookCommand = DeleteHookParameters & { op: "delete_hook" };

export type DeleteHookReply = Nothing & { re: Id };

export type CreateOutgoingHookCommand = CreateOutgoingHookParameters & { op: "create_outgoing_hook" };

export type CreateOutgoingHookReply = CreateOutgoingHookResult & { re: Id };

export type OutgoingHooksCommand = ChatParameters & { op: "outgoing_hooks" };

export type OutgoingHooksReply = OutgoingHooksResult & { re: Id };

export type DeleteOutgoingHookCommand = DeleteHookParameters & { op: "delete_outgoing_hook" };

export type DeleteOutgoingHookReply = Nothing & { re: Id };

export type ReplayOutgoingHookCommand = ReplayOutgoingHookParameters & { op: "replay_outgoing_hook" };

export type ReplayOutgoingHookReply = ReplayOutgoingHookResult & { re: Id };

export type PushKeyCommand = NoParameters & { op: "push_key" };

export type PushKeyReply = PushKeyResult & { re: Id };

export type SubscribeCommand = SubscribeParameters & { op: "subscribe" };

export type SubscribeReply = SubscribeResult & { re: Id };

export type UnsubscribeCommand = SubscriptionParameters & { op: "unsubscribe" };

export type UnsubscribeReply = Nothing & { re: Id };

export type SubscriptionsCommand = NoParameters & { op: "subscriptions" };

export type SubscriptionsReply = SubscriptionsResult & { re: Id };

export type TestPushCommand = SubscriptionParameters & { op: "test_push" };

export type TestPushReply = Nothing & { re: Id };

export type ErrorReply = {
  re: Id | null;
  error: ErrorInfo;
};

export type Event = MessageEvent | ChangedEvent | ResumedEvent | CursorEvent | SyncedEvent | ChatEvent | GoneEvent | RoleEvent | RenamedEvent | SettingsEvent | MemberEvent | RequestEvent | FriendEvent | ProfileEvent | TypingEvent | PresenceEvent | ReadEvent | ReceiptsEvent | MuteEvent | PlaceEvent | DraftEvent | OwnSettingsEvent | NoticeEvent | VerifiedEvent | ByeEvent;

/** The command and the reply of each operation. */
export interface Operations {
  hello: [HelloCommand, HelloReply];
  ping: [PingCommand, PingReply];
  register: [RegisterCommand, RegisterReply];
  login: [LoginCommand, LoginReply];
  token: [TokenCommand, TokenReply];
  refresh: [RefreshCommand, RefreshReply];
  verify_mail: [VerifyMailCommand, VerifyMailReply];
  recover: [RecoverCommand, RecoverReply];
  password: [PasswordCommand, PasswordReply];
  set_security: [SetSecurityCommand, SetSecurityReply];
  sessions: [SessionsCommand, SessionsReply];
  end_session: [EndSessionCommand, EndSessionReply];
  logout: [LogoutCommand, LogoutReply];
  delete_account: [DeleteAccountCommand, DeleteAccountReply];
  create_bot: [CreateBotCommand, CreateBotReply];
  bots: [BotsCommand, BotsReply];
  delete_bot: [DeleteBotCommand, DeleteBotReply];
  create_bot_token: [CreateBotTokenCommand, CreateBotTokenReply];
  delete_bot_token: [DeleteBotTokenCommand, DeleteBotTokenReply];
  made: [MadeCommand, MadeReply];
  end_made: [EndMadeCommand, EndMadeReply];
  export: [ExportCommand, ExportReply];
  export_messages: [ExportMessagesCommand, ExportMessagesReply];
  settings: [SettingsCommand, SettingsReply];
  set_settings: [SetSettingsCommand, SetSettingsReply];
  send: [SendCommand, SendReply];
  forward: [ForwardCommand, ForwardReply];
  edit: [EditCommand, EditReply];
  recall: [RecallCommand, RecallReply];
  react: [ReactCommand, ReactReply];
  unreact: [UnreactCommand, UnreactReply];
  reactors: [ReactorsCommand, ReactorsReply];
  pin: [PinCommand, PinReply];
  unpin: [UnpinCommand, UnpinReply];
  report: [ReportCommand, ReportReply];
  read: [ReadCommand, ReadReply];
  readers: [ReadersCommand, ReadersReply];
  unread: [UnreadCommand, UnreadReply];
  mark_unread: [MarkUnreadCommand, MarkUnreadReply];
  draft: [DraftCommand, DraftReply];
  set_draft: [SetDraftCommand, SetDraftReply];
  sync: [SyncCommand, SyncReply];
  history: [HistoryCommand, HistoryReply];
  changes: [ChangesCommand, ChangesReply];
  search: [SearchCommand, SearchReply];
  typing: [TypingCommand, TypingReply];
  watch: [WatchCommand, WatchReply];
  here: [HereCommand, HereReply];
  profile: [ProfileCommand, ProfileReply];
  profiles: [ProfilesCommand, ProfilesReply];
  set_profile: [SetProfileCommand, SetProfileReply];
  find: [FindCommand, FindReply];
  friends: [FriendsCommand, FriendsReply];
  requests: [RequestsCommand, RequestsReply];
  befriend: [BefriendCommand, BefriendReply];
  answer_friend: [AnswerFriendCommand, AnswerFriendReply];
  unfriend: [UnfriendCommand, UnfriendReply];
  block: [BlockCommand, BlockReply];
  unblock: [UnblockCommand, UnblockReply];
  blocks: [BlocksCommand, BlocksReply];
  open: [OpenCommand, OpenReply];
  create: [CreateCommand, CreateReply];
  chat: [ChatCommand, ChatReply];
  set_chat: [SetChatCommand, SetChatReply];
  mute: [MuteCommand, MuteReply];
  set_place: [SetPlaceCommand, SetPlaceReply];
  disband: [DisbandCommand, DisbandReply];
  join: [JoinCommand, JoinReply];
  answer_join: [AnswerJoinCommand, AnswerJoinReply];
  invite: [InviteCommand, InviteReply];
  link: [LinkCommand, LinkReply];
  links: [LinksCommand, LinksReply];
  unlink: [UnlinkCommand, UnlinkReply];
  join_link: [JoinLinkCommand, JoinLinkReply];
  leave: [LeaveCommand, LeaveReply];
  kick: [KickCommand, KickReply];
  ban: [BanCommand, BanReply];
  unban: [UnbanCommand, UnbanReply];
  bans: [BansCommand, BansReply];
  silence: [SilenceCommand, SilenceReply];
  set_modes: [SetModesCommand, SetModesReply];
  masks: [MasksCommand, MasksReply];
  members: [MembersCommand, MembersReply];
  role: [RoleCommand, RoleReply];
  transfer: [TransferCommand, TransferReply];
  create_hook: [CreateHookCommand, CreateHookReply];
  hooks: [HooksCommand, HooksReply];
  delete_hook: [DeleteHookCommand, DeleteHookReply];
  create_outgoing_hook: [CreateOutgoingHookCommand, CreateOutgoingHookReply];
  outgoing_hooks: [OutgoingHooksCommand, OutgoingHooksReply];
  delete_outgoing_hook: [DeleteOutgoingHookCommand, DeleteOutgoingHookReply];
  replay_outgoing_hook: [ReplayOutgoingHookCommand, ReplayOutgoingHookReply];
  push_key: [PushKeyCommand, PushKeyReply];
  subscribe: [SubscribeCommand, SubscribeReply];
  unsubscribe: [UnsubscribeCommand, UnsubscribeReply];
  subscriptions: [SubscriptionsCommand, SubscriptionsReply];
  test_push: [TestPushCommand, TestPushReply];
}
