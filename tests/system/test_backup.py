"""A new system that is restored from the backup of a running one has all messages from before the backup."""

import contextlib
import http.client
from pathlib import Path
from typing import Any

from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import run_dragoman
from tests.system.users import NativeUser, V2User, new_account

_SECONDS = 60.0


def media(edge: str, method: str, path: str, body: bytes = b"", token: str = "") -> bytes:
    with contextlib.closing(http.client.HTTPConnection(edge.removeprefix("ws://"), timeout=10)) as client:
        client.request(method, path, body, {"Authorization": f"Bearer {token}"})
        answer = client.getresponse()
        assert answer.status in (200, 201)
        return answer.read()


def positions(synced: dict[str, Any]) -> dict[str, object]:
    """Returns the positions that a native client has after this reply to a sync."""
    have = {str(chat["chat"]): [chat["head"], chat["rev"]] for chat in synced["chats"]}
    return {"epoch": synced["epoch"], "have": have}


def test_a_restored_system_has_all_data(tmp_path: Path) -> None:
    ann, bob = new_account(), new_account()
    backup = tmp_path / "backup"
    with Cluster(tmp_path / "first", *RELAXED, edges=1) as first, V2User(first.edges[0]) as speaker:
        registered = speaker.request(V2User.registration(ann), 5)
        ann.number, speaker.account = int(registered["ocid"]), ann
        with V2User(first.edges[0]) as listener:
            bob.number = listener.register(bob).account.number
            session = speaker.session(listener)
        speaker.post(session, "while you were away")
        with NativeUser(first.edges[0]) as native:
            native.register()
            chat = native.call("open", account=ann.number)["chat"]
            native.call("send", chat=chat, text="before the backup", nonce="1")
            known = native.call("sync")
            assert native.call("sync", **positions(known))["reset"] is False
        uploaded = media(first.edges[0], "POST", "/media?name=a.txt", b"a file", registered["token"])
        run_dragoman(["backup", backup, "--data", first.data], tmp_path / "backup.log", _SECONDS)
        speaker.post(session, "after the backup")
    path = "/media/" + uploaded.decode().partition('"id":"')[2].partition('"')[0]

    second = Cluster(tmp_path / "second", *RELAXED, edges=1)
    run_dragoman(["restore", backup, "--data", second.data], tmp_path / "restore.log", _SECONDS)
    with second, V2User(second.edges[0]) as reader:
        assert reader.login(bob)["status"] == 0
        assert reader.receive_text("while you were away")["sender"]["ocid"] == f"{ann.number:010d}"
        reader.receive_nothing(1.0)
        assert media(second.edges[0], "GET", path) == b"a file"
        assert media(second.edges[0], "POST", "/media?name=b.txt", b"another", registered["token"])
        with V2User(second.edges[0]) as writer:
            writer.login(ann)
            echo = writer.post(session, "and on")
            assert int(echo["msg_id"]) > 1
            reader.receive_text("and on")
        with NativeUser(second.edges[0]) as returned:
            returned.call("token", token=native.token)
            synced = returned.call("sync", **positions(known))
            assert synced["reset"] is True, "the client drops what it knows"
            assert synced["epoch"] not in ("", known["epoch"])
            assert returned.event("message")["segments"] == [{"t": "text", "text": "before the backup"}]
            again = returned.call("sync", **positions(synced))
            assert (again["reset"], again["epoch"]) == (False, synced["epoch"])
