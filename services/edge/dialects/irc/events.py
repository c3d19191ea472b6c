"""Shows the actions of other users as lines. An event contains the names of its users. Only events of an older session
service lack the names, which are then requested."""

from collections.abc import Mapping

from services.edge.canonical.events import (
    ChatJoined,
    ChatLeft,
    Departure,
    Event,
    MaintenanceChanged,
    MessageChanged,
    RoleChanged,
)
from services.edge.dialects.base import Push
from services.edge.dialects.irc import monitor, operators, reactions, read_markers, relay, subscriptions
from services.edge.dialects.irc.channels import (
    hidden_elsewhere,
    join_line,
    kick_line,
    part_line,
    role_line,
    show_channel,
    show_hidden,
    shown_channel,
    topic_changed,
)
from services.edge.dialects.irc.modes import apply_changes, mode_lines
from services.edge.dialects.irc.names import User, fold, numbered_channel, user_of
from services.edge.dialects.irc.session import Answer, Channel, IrcSession, Lines
from shared.contract.edge import ChatModesChanged, ChatRenamed, Invited, MembershipAnswered, ProfileChanged
from shared.contract.ephemeral import (
    AwayChanged,
    ChatPlaced,
    ChatRead,
    ChatSettingsChanged,
    MetadataChanged,
    NickSeen,
    OperatorActed,
    PresenceChanged,
    ReadTimeMoved,
    TagsRelayed,
    Typing,
)
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import ModeChange
from shared.contract.model import JoinPolicy, ProfileSummary, Role

_Summaries = Mapping[AccountId, ProfileSummary]


def encode_event(session: IrcSession, event: Event) -> tuple[Push, ...]:
    lines = tuple(_lines(session, event)) if session.welcomed else ()
    if lines and session.waiting is not None and _actor(event) == session.account:
        session.waiting.hold(lines)
        lines = ()
    requests = session.take_requests()
    return (Push(lines, requests=requests),) if lines or requests else ()


def _actor(event: Event) -> AccountId:
    match event:
        case RoleChanged(by=by) | ChatModesChanged(by=by) | ChatSettingsChanged(by=by) | ChatLeft(by=by):
            return by
        case ProfileChanged(profile):
            return profile.id
    return NO_ACCOUNT


def _lines(session: IrcSession, event: Event) -> Lines:
    match event:
        case ChatJoined(chat):
            if chat not in session.channels and chat not in session.partners:
                show_channel(session, chat, Answer(), silent=True)
        case ChatLeft():
            return _left(session, event)
        case MembershipAnswered(chat, account=account, accepted=True) if account != session.account:
            channel = shown_channel(session, chat)
            if channel is not None:
                user = _user(session, account, event.faces)
                line = session.by(user, join_line(session, user, channel.name))
                return [session.happened(line, chat, event.time)]
        case RoleChanged():
            return _role_changed(session, event)
        case ChatModesChanged():
            return _modes_changed(session, event)
        case ChatRenamed(chat, name) if (channel := shown_channel(session, chat)) is not None:
            return [session.notice(f"The group is called {name} now", channel.name)]
        case ChatSettingsChanged():
            return _settings_changed(session, event)
        case ChatPlaced(chat, hidden=hidden) if (known := session.channels.get(chat)) is not None and not known.ended:
            if hidden:
                return hidden_elsewhere(session, known)
            if known.hidden:
                show_hidden(session, chat, Answer())
        case ProfileChanged(profile, renamed, former):
            values = subscriptions.profile_changed(session, event)
            if not (renamed or former or profile.guest):
                return values
            user = user_of(profile.id, profile, session.server)
            registered = _registered(session, user, event.former_guest) if event.registered else ()
            return [*registered, *_renamed(session, user, former), *values]
        case Invited():
            return _invited(session, event)
        case MessageChanged():
            return reactions.message_changed(session, event)
        case Typing():
            return reactions.typing(session, event)
        case TagsRelayed():
            return relay.relayed(session, event)
        case AwayChanged():
            return _away_changed(session, event)
        case MetadataChanged():
            return subscriptions.changed(session, event)
        case NickSeen():
            return monitor.seen(session, event)
        case PresenceChanged():
            return monitor.presence_changed(session, event)
        case ReadTimeMoved() | ChatRead():
            return read_markers.read_elsewhere(session, event)
        case OperatorActed():
            return operators.acted(session, event)
        case MaintenanceChanged(on):
            return [session.notice(f"The operator has {'begun' if on else 'ended'} maintenance")]
    return ()


def _user(session: IrcSession, account: AccountId, faces: _Summaries) -> User:
    face = faces.get(account)
    return session.user_for(account) if face is None else user_of(account, face, session.server)


def _left(session: IrcSession, event: ChatLeft) -> Lines:
    channel = shown_channel(session, event.chat)
    session.channels.pop(event.chat, None)
    session.pushed_from.pop(event.chat, None)
    if channel is None or session.leaving:
        return ()
    if event.departure is Departure.KICKED:
        by = _user(session, event.by, event.faces) if event.by else None
        reason = event.reason or (by.nick if by else "removed from the group")
        source = by.mask if by else ""
        line = session.line("KICK", channel.name, session.nick, last=reason, source=source)
    else:
        reason = event.reason or ("" if event.departure is Departure.LEFT else event.departure.value)
        line = session.own("PART", channel.name, last=reason or None)
    return [session.happened(line, event.chat, event.time)]


def _role_changed(session: IrcSession, event: RoleChanged) -> Lines:
    channel, user = shown_channel(session, event.chat), _user(session, event.account, event.faces)
    if channel is None:
        return ()
    by = _user(session, event.by, event.faces)
    if event.role is not Role.LEFT:
        return () if event.by_modes else [role_line(session, channel.name, user.nick, event.role, by.mask)]
    if event.gone:
        if event.account in session.gone:
            return ()
        session.gone.append(event.account)
        return [session.by(user, session.line("QUIT", last=event.reason, source=user.mask))]
    if event.by not in (NO_ACCOUNT, event.account):
        line = kick_line(session, channel.name, user, by, event.reason)
    else:
        line = part_line(session, channel.name, user, event.reason)
    return [session.happened(line, event.chat, event.time)]


def _modes_changed(session: IrcSession, event: ChatModesChanged) -> Lines:
    if event.chat in session.channels:
        apply_changes(session.channels[event.chat], event.changes)
    channel, by = shown_channel(session, event.chat), _user(session, event.by, event.faces)
    if channel is None:
        return ()

    def nick(account: AccountId) -> str:
        return _user(session, account, event.faces).nick

    lines = mode_lines(session, channel.name, event.changes, nick, by.mask)
    return [session.happened(session.by(by, line), event.chat, event.time, at) for at, line in enumerate(lines)]


def _settings_changed(session: IrcSession, event: ChatSettingsChanged) -> Lines:
    source, channel = _user(session, event.by, event.faces).mask, shown_channel(session, event.chat)
    known: Channel | None = session.channels.get(event.chat)
    if channel is None or known is None:
        return ()
    lines: list[bytes] = []
    if event.topic or known.has_topic:
        lines += topic_changed(session, event.chat, event.topic, event.topic_time, event.by, source)
    known.has_topic = bool(event.topic)
    new = f"#{event.handle}" if event.handle else known.name if "~" in known.name else numbered_channel(event.chat, "")
    if fold(new) != fold(known.name):
        before, known.name = known.name, new
        if session.has("draft/channel-rename"):
            lines.append(session.line("RENAME", before, new, last=event.reason, source=source))
        else:
            known.shown = False
            lines.append(session.own("PART", before, last=f"The channel is {new} now"))
            show_channel(session, event.chat, Answer())
    if known.invited is (event.join_policy is JoinPolicy.OPEN):
        known.invited = not known.invited
        lines += mode_lines(session, known.name, [ModeChange(known.invited, "i")], str, source)
    return lines


def _renamed(session: IrcSession, user: User, former: str) -> Lines:
    if user.account == session.account:
        renamed = [*session.set_real_name(user.real_name)]
        return [*renamed, *session.rename(user)]
    if user.account in session.users:
        session.users[user.account] = user
    if former and former != user.nick:
        return [session.by(user, session.line("NICK", user.nick, source=f"{former}!{user.user}@{user.host}"))]
    return () if former else session.real_name_line(user)


def _registered(session: IrcSession, user: User, former_user: str) -> Lines:
    """Show that a guest has an account, and therefore another `user`."""
    if user.account == session.account:
        return ()
    moved = session.moved(user, f"{former_user}@{user.host}") if former_user else ()
    account = [session.line("ACCOUNT", user.account_name, source=user.mask)] if session.has("account-notify") else ()
    return [*moved, *account]


def _invited(session: IrcSession, event: Invited) -> Lines:
    channel = session.channels.get(event.chat)
    name = channel.name if channel else f"#{event.handle}" if event.handle else numbered_channel(event.chat, event.name)
    by, invited = _user(session, event.by, event.faces), _user(session, event.account, event.faces)
    if event.account == session.account or (session.has("invite-notify") and event.by != session.account):
        return [session.by(by, session.line("INVITE", invited.nick, name, source=by.mask))]
    return ()


def _away_changed(session: IrcSession, event: AwayChanged) -> Lines:
    user = user_of(event.account, event.face, session.server)
    in_common = any(chat in session.channels for chat in event.chats)
    of_guest = bool(event.face.guest) and session.has("extended-monitor")
    if not session.has("away-notify") or not (in_common or of_guest):
        return ()
    if event.account in session.states:
        session.states[event.account] = event.text
    return [session.line("AWAY", last=event.text or None, source=user.mask)]
