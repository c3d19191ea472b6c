"""The METADATA keys that a client subscribes to, and how the client is shown their values."""

from collections.abc import Iterator

from services.edge.canonical.commands import ShowProfiles
from services.edge.canonical.replies import UsersFound
from services.edge.dialects.irc.names import user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines
from shared.contract.edge import ProfileChanged
from shared.contract.ephemeral import MetadataChanged
from shared.contract.errors import Failure
from shared.contract.ids import ChatId
from shared.contract.metadata import AVATAR, DISPLAY_NAME, ListMetadata, MetadataList, profile_values

CAPABILITY = "draft/metadata-3"
MOST_SUBSCRIPTIONS = 50


def value_line(session: IrcSession, target: str, key: str, value: str) -> bytes:
    if not value:
        return session.numeric("766", target, key, last="has no value")
    if key == AVATAR and value.startswith("/"):  # a picture of this server
        value = session.info.base_url + value
    return session.numeric("761", target, key, "*", last=value)


def sync_later(session: IrcSession, channel: str) -> Lines:
    """Instruct the client to request the values of a channel when it has time."""
    return [session.numeric("774", channel)] if session.subscribed and session.has(CAPABILITY) else ()


def sync_chat(session: IrcSession, chat: ChatId, name: str, answer: Answer, *, requested: bool) -> Lines:
    """Show the values of a channel and of its members. `requested`: whether an answer is due even without values."""
    if not session.subscribed or not session.has(CAPABILITY):
        return ()

    def listed(found: MetadataList) -> Lines:
        accounts = tuple(dict.fromkeys(one.account for one in found.values if not one.chat))

        def named(users: UsersFound) -> Lines:
            nicks = {one.id: user_of(one.id, one, session.server).nick for one in users.profiles}
            lines = [
                value_line(session, nicks.get(one.account, "*") if not one.chat else name, one.key, one.value)
                for one in found.values
            ]
            return session.batch("metadata", lines, name) if lines or requested else ()

        if not accounts:
            return named(UsersFound(()))
        return session.request(ShowProfiles(accounts), answer, named)

    def failed(failure: Failure) -> Lines:
        return [session.fail("METADATA", failure, name, code="INVALID_TARGET")] if requested else ()

    request = ListMetadata(chat=chat, keys=tuple(session.subscribed), members=True)
    return session.request(request, answer, listed, failed)


def profile_changed(session: IrcSession, event: ProfileChanged) -> Iterator[bytes]:
    """Show the subscribed values that are in a profile. An event does not say whether the picture is another one."""
    profile = event.profile
    if profile.guest or not session.has(CAPABILITY):
        return
    nick = user_of(profile.id, profile, session.server).nick
    key = DISPLAY_NAME if event.renamed else AVATAR
    if key in session.subscribed:
        yield value_line(session, nick, key, profile_values(nick, profile.nickname, profile.avatar)[key])


def changed(session: IrcSession, event: MetadataChanged) -> Lines:
    value = event.value
    if not session.has(CAPABILITY) or value.key not in session.subscribed:
        return ()
    if not value.chat:
        return [value_line(session, user_of(event.account, event.face, session.server).nick, value.key, value.value)]
    channel = session.channels.get(value.chat)
    if channel is None or not channel.shown or channel.hidden:
        return ()
    return [value_line(session, channel.name, value.key, value.value)]
