"""The actions of native users. Each is done in the system and in the model."""

from contextlib import suppress

from tests.clients.client import RequestRejected
from tests.clients.native import Native
from tests.model import changes
from tests.model.changes import ChangeCommand
from tests.model.device import ModelDevice, ModelMismatch, SleepingClient, expect_same
from tests.model.harness import ModelHarness
from tests.model.model import Chat, ModelUser, Role, Rules, SentMessage
from tests.model.queries import check_native_history


def _client(device: ModelDevice) -> Native:
    assert isinstance(device.client, Native)
    return device.client


def change(
    harness: ModelHarness, device: ModelDevice, chat: Chat, message: SentMessage, command: ChangeCommand
) -> None:
    """Changes a message. The reply has the rev of the change, even if the change was made before."""
    harness.note(f"{device} in {chat.number}, of {message.index}: {command}")
    client, revs = _client(device), list[int]()

    def request() -> None:
        client.send_change(chat.number, message.index, command.kind, command.segments, command.emoji, on=command.on)
        revs.append(client.changed_rev())

    harness.do(request, lambda: changes.change(chat, message, command), device)
    expect_same(device, revs, [changes.last_rev(chat, message, command.kind)][: len(revs)])
    if device.user.number in chat.first:
        check_native_history(harness.model, device, chat)
    if message in chat.visible_to(device.user.number):
        check_reactors(device, chat, message)


def block(harness: ModelHarness, device: ModelDevice, other: ModelUser, *, on: bool) -> None:
    harness.note(f"{device} {'blocks' if on else 'unblocks'} {other.number}")
    client, user = _client(device), device.user
    harness.do(lambda: client.block(other.number, on=on), lambda: harness.model.block(user, other, on=on))


def read(harness: ModelHarness, device: ModelDevice, chat: Chat, index: int) -> None:
    harness.note(f"{device} has read {chat.number} up to {index}")
    client, number = _client(device), device.user.number
    harness.do(lambda: client.read(chat.number, index), lambda: harness.model.mark_read(chat, number, index))
    device.settle_on(lambda: client.chats()[chat.number]["unread"], device.unread[chat.number])


def fall_asleep(harness: ModelHarness, device: ModelDevice) -> None:
    sleeping = SleepingClient(device.user, _client(device).chats())
    harness.note(f"{device} knows {list(sleeping.heads)}")
    harness.leave(device, politely=False)
    harness.sleeping.append(sleeping)


def mute(harness: ModelHarness, device: ModelDevice, chat: Chat, *, on: bool) -> None:
    harness.note(f"{device} {'mutes' if on else 'unmutes'} {chat.number}")
    client, number = _client(device), device.user.number
    harness.do(lambda: client.mute(chat.number, on=on), lambda: harness.model.mute(chat, number, on=on))


def check_readers(harness: ModelHarness, device: ModelDevice, chat: Chat, message: SentMessage) -> None:
    """Checks that no receipt shows an unread message as read. Also checks the list of a message's readers.

    A private chat in which one member blocks the other has no such list.
    """
    harness.note(f"{device} looks who has read {message.index} of {chat.number}")
    client, model = _client(device), harness.model
    for (number, account), index in client.read_by.items():
        if account not in model.users:
            continue  # the account is from an earlier example that used the same lobby
        unread = [one.index for one in model.unread(account, model.chats[number])]
        expect_same(device, [one for one in unread if one <= index], [])
    if chat.pair and chat.muted:
        with suppress(RequestRejected):
            client.readers(chat.number, message.index)
            raise ModelMismatch(f"{device} sees who has read {message.index} of {chat.number}")
        return
    wanted = model.readers(message)
    device.settle_on(lambda: client.readers(chat.number, message.index) & message.audience, wanted)


def check_reactors(device: ModelDevice, chat: Chat, message: SentMessage) -> None:
    wanted: dict[int, set[str]] = {}
    for emoji, accounts in message.reactions.items():
        for account in accounts:
            wanted.setdefault(account, set()).add(emoji)
    expect_same(device, _client(device).reactors(chat.number, message.index), wanted)


def invite(harness: ModelHarness, device: ModelDevice, chat: Chat, accounts: list[int]) -> None:
    """Invites accounts.

    Members stay members. Accounts that may not be added do not prevent the others from being added.
    """
    harness.note(f"{device} invites {accounts} to {chat.number}")
    client, by, added = _client(device), device.user.number, list[set[int]]()
    harness.do(
        lambda: added.append(client.invite(chat.number, accounts)), lambda: harness.model.invite(chat, by, accounts)
    )
    expect_same(device, added, [{*accounts} & chat.first.keys()][: len(added)])


def set_rules(harness: ModelHarness, device: ModelDevice, chat: Chat, rules: Rules) -> None:
    harness.note(f"{device} sets in {chat.number}: {rules}")
    client, by = _client(device), device.user.number
    edit_s, recall_s = (None if is_allowed else 0 for is_allowed in (rules.edits, rules.recalls))
    harness.do(
        lambda: client.set_rules(chat.number, edit_s, recall_s, history_for_new=rules.history),
        lambda: harness.model.set_rules(chat, by, rules),
    )


def set_role(harness: ModelHarness, device: ModelDevice, chat: Chat, member: int, role: Role) -> None:
    harness.note(f"{device} makes {member} {role} of {chat.number}")
    client, by = _client(device), device.user.number
    harness.do(
        lambda: client.set_role(chat.number, member, role), lambda: harness.model.set_role(chat, by, member, role)
    )


def end_membership(harness: ModelHarness, device: ModelDevice, chat: Chat, member: int) -> None:
    client, by = _client(device), device.user.number
    harness.note(f"{device} {'leaves' if member == by else f'removes {member} from'} {chat.number}")
    harness.do(
        lambda: client.end_membership(chat.number, member), lambda: harness.model.end_membership(chat, by, member)
    )


def ban(harness: ModelHarness, device: ModelDevice, chat: Chat, account: int, *, on: bool) -> None:
    harness.note(f"{device} {'bans' if on else 'unbans'} {account} in {chat.number}")
    client, by = _client(device), device.user.number
    harness.do(lambda: client.ban(chat.number, account, on=on), lambda: harness.model.ban(chat, by, account, on=on))


def silence(harness: ModelHarness, device: ModelDevice, chat: Chat, member: int, *, on: bool) -> None:
    harness.note(f"{device} {'silences' if on else 'lets speak'} {member or 'all'} in {chat.number}")
    client, by = _client(device), device.user.number
    harness.do(
        lambda: client.silence(chat.number, member, on=on), lambda: harness.model.silence(chat, by, member, on=on)
    )
