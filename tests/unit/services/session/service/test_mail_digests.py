"""Tests mails about unread messages: to whom they are sent, when, with what text, and the links that end them."""

from functools import partial
from typing import Any

import pytest

from services.session.service import push_batch, push_delivery
from services.session.service.mail_digests import MailLinks
from services.session.service.ports import PushFailed, PushResult
from services.session.service.subscriptions import PushLogins, Subscriptions
from services.session.store import own_settings, push_turns, subscriptions
from services.session.store.subscriptions import PushDevice
from services.session.tables.push import push_subscription
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.own_settings import SetOwnSettings
from shared.contract.push import MAIL, EndedLogins, FindEndedLogins, SendTestPush, StopMails, Subscribe, mail_login
from shared.settings import Settings
from shared.settings.edge import EdgeSettings
from shared.vapid import make_key
from tests.unit.services.session.service.test_push_delivery import DELAY_MS, TO_BOB, Notifying, notifying
from tests.unit.services.session.store_harness import ANN, BOB, CEM, NOW, rejection

__all__ = ["notifying"]
_URL = "https://chat.example"
_PAUSE_MS = 3_600_000


class Mailing:
    """A harness in which Bob wants mails. `now` is the time of the process."""

    def __init__(self, notifying: Notifying, monkeypatch: pytest.MonkeyPatch, **push: Any) -> None:
        self.notifying, self.store, self.now = notifying, notifying.store, NOW
        key = make_key()
        push = {"key": key, "mail_minutes": _PAUSE_MS / 60_000, "delay_seconds": DELAY_MS / 1000, **push}
        notifying.settings = self.settings = Settings(push=push, edge={"public_url": _URL}, language="en")
        notifying.delivery = notifying.make()
        monkeypatch.setattr(push_delivery, "now_ms", lambda: self.now)
        self.unverified: set[AccountId] = set()
        texts = notifying.delivery._texts
        logins = PushLogins(self._ended)  # type: ignore[arg-type]
        self.subscriptions = Subscriptions(self.store.database, logins, notifying.services, texts, self.settings)

    async def _ended(self, request: FindEndedLogins, **_: object) -> Any:
        return EndedLogins([sid for account, sid in request.logins if account in self.unverified])

    async def want(self, account: AccountId = BOB, language: str = "") -> int:
        request = Subscribe(kind=MAIL, sid="s", actor=account, language=language)
        number = (await self.subscriptions.subscribe(request)).subscription
        since = push_subscription.update().values(created=NOW)
        await self.store.database.write(lambda connection: connection.execute(since) and None)
        return number

    async def post(self, chat: ChatId, count: int = 1, **message: Any) -> None:
        """Posts messages. They become unread at `now`, and then their delay passes."""
        known = self.notifying.services.messages.setdefault(chat, [])
        before = len(known)
        self.notifying.services.post(chat, count, **message)
        known[before:] = [_at(one, self.now) for one in known[before:]]
        self.now += DELAY_MS
        await self.notifying.moved(chat)
        await self.notifying.decide()

    async def wait(self, milliseconds: int) -> list[str]:
        """Lets time pass. Returns the texts of the mails that are sent meanwhile."""
        self.now += milliseconds
        sent = self.notifying.services.mails
        before = len(sent)
        await self.notifying.send()
        return [one.text for one in sent[before:]]


def _at(message: Any, time: int) -> Any:
    return message.__class__(**{name: getattr(message, name) for name in message.__struct_fields__} | {"time": time})


@pytest.fixture
def mailing(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> Mailing:
    return Mailing(notifying, monkeypatch)


async def test_one_mail_names_all_chats_after_the_pause_and_the_next_one_waits(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB, name="Te{a}m")).id
    await mailing.store.befriend(ANN, BOB)
    private, _ = await mailing.store.open_private(ANN, BOB)
    await mailing.want()
    await mailing.post(team, 3)
    await mailing.post(private)
    assert await mailing.wait(_PAUSE_MS - 3 * DELAY_MS) == []
    (text,) = await mailing.wait(2 * DELAY_MS)
    names = await mailing.store.database.read(partial(push_turns.names, chats=[private], senders=[ANN]))
    _, nickname = names.of(private, ANN)
    assert text.splitlines()[:2] == [
        "1 unread message in Te{a}m since 22:13 UTC",
        f"1 unread message from {nickname} since 22:13 UTC",
    ], "the scripted message service counts one unread message in each chat"
    (mail,) = mailing.notifying.services.mails
    assert (mail.to, mail.account, mail.subject) == ("", BOB, "2 unread messages")
    assert mail.unsubscribe in text
    assert f"{_URL}/chat" in text
    await mailing.post(team)
    assert await mailing.wait(_PAUSE_MS - 2 * DELAY_MS) == [], "one in this time"
    assert len(await mailing.wait(2 * DELAY_MS)) == 1
    assert await mailing.wait(10 * _PAUSE_MS) == [], "nothing is new"
    await mailing.post(team)
    assert await mailing.wait(_PAUSE_MS - 2 * DELAY_MS) == [], "the new message must be unread for as long as the first"
    assert len(await mailing.wait(2 * DELAY_MS)) == 1


async def test_what_is_read_before_the_mail_is_not_mailed(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB)).id
    device = await mailing.want()
    await mailing.post(team)
    assert await mailing.notifying.waiting(device) == {team: 1}
    await mailing.wait(0)
    mailing.notifying.services.read[BOB, team] = 1
    assert await mailing.wait(2 * _PAUSE_MS) == []
    assert await mailing.notifying.waiting(device) == {}


async def test_an_account_with_a_device_gets_no_mail(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB, CEM)).id
    await mailing.want()
    cem = await mailing.want(CEM)
    device = await mailing.notifying.subscribe(BOB)
    await mailing.post(team)
    await mailing.wait(0)
    assert [number for number, _ in mailing.notifying.services.sent] == [device]
    await mailing.wait(2 * _PAUSE_MS)
    assert [one.account for one in mailing.notifying.services.mails] == [CEM]
    assert await mailing.notifying.waiting(cem) == {}


async def test_what_a_dead_device_was_not_notified_of_is_mailed(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB)).id
    await mailing.want()
    await mailing.notifying.subscribe(BOB)

    def gone(_: PushDevice) -> None:
        raise PushFailed(PushResult.GONE, "status 410")

    mailing.notifying.services.on_send = gone
    await mailing.post(team)
    assert await mailing.wait(0) == []
    assert await mailing.wait(0) == [], "its time begins with the message"
    assert len(await mailing.wait(_PAUSE_MS)) == 1
    assert await mailing.wait(2 * _PAUSE_MS) == []


async def test_an_account_without_a_verified_address_ends_no_mails_of_others(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = (await mailing.store.create_group(ANN, BOB, CEM)).id
    await mailing.want()
    await mailing.want(CEM)
    await mailing.post(team)
    mailing.unverified = {CEM}
    monkeypatch.setattr(mailing.notifying.delivery, "_logins", PushLogins(mailing._ended))  # type: ignore[arg-type]
    await mailing.wait(2 * _PAUSE_MS)
    assert [one.account for one in mailing.notifying.services.mails] == [BOB]
    assert await mailing.store.database.read(partial(subscriptions.list_own, account=CEM)) == []


async def test_a_process_that_is_killed_after_it_has_mailed_mails_nothing_twice(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = (await mailing.store.create_group(ANN, BOB)).id
    await mailing.want()
    await mailing.post(team)
    with monkeypatch.context() as patched:
        patched.setattr(push_turns, "note_turns", _killed)
        patched.setattr(push_batch, "_NOTE_SECONDS", 0)
        assert len(await mailing.wait(2 * _PAUSE_MS)) == 1
    assert await mailing.wait(80_000) == []
    services = mailing.notifying.services
    assert (len(services.keys), len(services.mails)) == (2, 1)
    assert await mailing.wait(_PAUSE_MS) == []


def _killed(*_: object) -> None:
    raise RequestError(ErrorCode.UNAVAILABLE, "killed")


async def test_do_not_disturb_postpones_the_mail_and_its_zone_is_that_of_the_times(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB, name="Team")).id
    await mailing.want(language="zh-CN")
    await mailing.post(team)
    quiet = SetOwnSettings(
        quiet_zone="Asia/Shanghai", quiet_from="06:00", quiet_to="09:00", until=NOW + 2 * _PAUSE_MS, actor=BOB
    )
    await mailing.store.database.write(partial(own_settings.change, request=quiet))
    assert await mailing.wait(_PAUSE_MS) == []
    (text,) = await mailing.wait(3 * _PAUSE_MS)
    assert text.startswith("Team：1 条未读消息（自 06:13）\n")


async def test_the_time_begins_with_the_message_that_notifies(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB)).id
    await mailing.want()
    mentions = SetOwnSettings(level="mentions", actor=BOB)
    await mailing.store.database.write(partial(own_settings.change, request=mentions))
    await mailing.post(team, 2)
    assert await mailing.wait(3 * _PAUSE_MS) == []
    await mailing.post(team, body=TO_BOB)
    assert await mailing.wait(_PAUSE_MS - 2 * DELAY_MS) == []
    (text,) = await mailing.wait(2 * DELAY_MS)
    assert "since 2023-11-14 22:13 UTC" in text, "of the first unread message"


async def test_a_mail_of_a_clock_that_was_ahead_delays_no_other(mailing: Mailing) -> None:
    team = (await mailing.store.create_group(ANN, BOB)).id
    device = await mailing.want()
    ahead = partial(subscriptions.note_accepted, devices=[device], now=NOW + 1_000 * _PAUSE_MS)
    await mailing.store.database.write(ahead)
    await mailing.post(team)
    assert len(await mailing.wait(2 * _PAUSE_MS)) == 1


async def test_without_https_there_are_no_mails(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    mailing = Mailing(notifying, monkeypatch)
    team = (await mailing.store.create_group(ANN, BOB)).id
    device = await mailing.want()
    await mailing.post(team)
    notifying.settings = notifying.settings.model_copy(update={"edge": EdgeSettings()})
    notifying.delivery = notifying.make()
    assert await mailing.wait(2 * _PAUSE_MS) == []
    assert await notifying.waiting(device) == {}


async def test_with_no_content_a_mail_names_nobody(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    mailing = Mailing(notifying, monkeypatch, content="none")
    team = (await mailing.store.create_group(ANN, BOB, name="Secret")).id
    await mailing.want()
    await mailing.post(team)
    (text,) = await mailing.wait(2 * _PAUSE_MS)
    assert text.startswith("1 unread message\n\n")
    assert "Secret" not in text


async def test_mails_that_the_operator_switches_off_end(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    mailing = Mailing(notifying, monkeypatch)
    team = (await mailing.store.create_group(ANN, BOB)).id
    device = await mailing.want()
    await mailing.post(team)
    off = Mailing(notifying, monkeypatch, mail_minutes=0)
    off.now = mailing.now
    assert await off.wait(2 * _PAUSE_MS) == []
    assert await notifying.waiting(device) == {}
    assert (await rejection(off.want())).code is ErrorCode.FORBIDDEN


async def test_mails_need_a_verified_address_and_end_by_their_link(mailing: Mailing) -> None:
    mailing.unverified = {BOB}
    assert (await rejection(mailing.want())).field == "kind"
    mailing.unverified = set()
    first = await mailing.want()
    assert await mailing.want() == first, "one for each account"
    (listed,) = await mailing.store.database.read(partial(subscriptions.list_own, account=BOB))
    assert (listed.kind, listed.sid, listed.origin) == (MAIL, mail_login(BOB), "mailto:")
    assert await mailing.store.database.read(partial(subscriptions.common_origins, most=9)) == []
    assert (await rejection(mailing.subscriptions.test(SendTestPush(first, actor=BOB)))).code is ErrorCode.INVALID
    token = MailLinks(mailing.settings).link(BOB).removeprefix(f"{_URL}/unsubscribe/")
    for wrong in ("", "AAAA", token[:-1] + ("A" if token[-1] != "A" else "B"), "é", token + "AAAA"):
        assert (await rejection(mailing.subscriptions.stop_mails(StopMails(wrong)))).code is ErrorCode.NOT_FOUND
    for _ in range(2):
        await mailing.subscriptions.stop_mails(StopMails(token))
        assert await mailing.store.database.read(partial(subscriptions.list_own, account=BOB)) == []


def test_a_link_outlives_one_rotation_of_the_key() -> None:
    old, new = make_key(), make_key()
    made = MailLinks(Settings(push={"key": old}, edge={"public_url": _URL})).link(BOB).rpartition("/")[2]
    assert MailLinks(Settings(push={"key": new, "previous_key": old})).account_of(made) == BOB
    with pytest.raises(RequestError):
        MailLinks(Settings(push={"key": new})).account_of(made)
    with pytest.raises(RequestError):
        MailLinks(Settings()).account_of(made)
