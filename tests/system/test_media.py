"""Images and files over HTTP on the whole system.

Tokens are real, and every edge serves the files that any edge has received.
"""

import json
import time
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from struct import pack
from urllib.parse import urlsplit

import pytest

from services.edge.identicons import avatar_png
from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.conftest import Dial
from tests.system.users import NativeUser, V2User, new_account

pytestmark = pytest.mark.xdist_group("system")

PNG = avatar_png("account", 9)


def http(edge: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    with closing(HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def token_of(client: V2User) -> str:
    account = new_account()
    answer = client.request(client.registration(account), 5)
    account.number = int(answer["ocid"])
    client.account = account
    return str(answer["token"])


def post(edge: str, token: str, body: bytes = PNG) -> tuple[int, bytes]:
    return http(edge, "POST", "/media?name=face.png", body, Authorization=f"Bearer {token}")


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + pack(">II", width, height)


def test_any_edge_serves_the_uploads_of_another(system: Cluster, dial: Dial) -> None:
    here, there = system.edges
    status, body = post(here, token_of(dial(there)))
    stored = json.loads(body)
    assert (status, stored["hash"]) == (201, sha256(PNG).hexdigest())
    for edge in system.edges:
        assert http(edge, "GET", f"/media/{stored['id']}") == (200, PNG)
    assert (system.data / "media" / "blobs" / stored["hash"]).read_bytes() == PNG
    assert post(here, "no.such.token")[0] == 401


def test_a_picture_has_a_small_preview(system: Cluster) -> None:
    here, there = system.edges[:2]
    with NativeUser(here) as ann, NativeUser(there) as bob:
        ann.register()
        bob.register()
        picture, smaller = (json.loads(post(here, ann.token)[1])["id"] for _ in range(2))
        segment = {"t": "image", "media": picture, "hash": "1QcSHQRnh493", "preview": smaller}
        wrong = {"0" * 32: "choice"}
        for body, reason in (
            (b"<script>", "type"), (png(1281, 9), "range"), (png(9, 1281), "range"),
            (png(9, 9) + bytes(1024 * 1024), "range"),
        ):  # fmt: skip
            wrong[json.loads(post(there, ann.token, body)[1])["id"]] = reason
        for preview, reason in wrong.items():
            error = ann.call("send", to=bob.number, nonce="1", segments=[segment | {"preview": preview}])["error"]
            assert (error["code"], error["reason"], error["field"]) == ("invalid", reason, "segments[0].preview")
            assert ("1280" in error["text"]) is (reason != "choice")
        sent = ann.call("send", to=bob.number, nonce="2", segments=[segment])
        (shown,) = json.loads(bob.receive('"ev":"message"'))["segments"]
        assert shown["hash"] == "1QcSHQRnh493"
        assert shown["preview"].endswith(f"/media/{smaller}")
        group = ann.call("create", name="Forwarded")["chat"]
        ann.call("forward", chat=sent["chat"], index=sent["index"], into=[group], nonce="3")
        assert ann.call("history", chat=group)["messages"][0]["segments"] == [shown]


def test_a_preview_rejects_no_message_that_was_accepted_before(system: Cluster) -> None:
    """A preview without a known width is left out: a previous version has stored it without. The limits do not apply to
    a picture that a message shows already."""
    with NativeUser(system.edges[0]) as ann:
        ann.register()
        chat = ann.call("create", name="Pictures")["chat"]
        picture, unknown, large = (
            json.loads(post(system.edges[0], ann.token, body)[1])["id"] for body in (PNG, png(0, 9), png(1281, 9))
        )
        ann.call("send", chat=chat, nonce="1", segments=[{"t": "image", "media": large}])
        for preview, is_shown in ((unknown, False), (large, True)):
            segments = [{"t": "image", "media": picture, "preview": preview}]
            sent = [ann.call("send", chat=chat, nonce=preview, segments=segments) for _ in range(2)]
            assert sent[0]["index"] == sent[1]["index"]
            text = [*segments, {"t": "text", "text": "seen"}]
            ann.call("edit", chat=chat, index=sent[0]["index"], segments=text, nonce=f"edit {preview}")
            image, _ = ann.call("history", chat=chat, dir="older", count=1, **{"from": -1})["messages"][0]["segments"]
            assert image.get("preview", "").endswith(preview) is is_shown


def test_a_deleted_account_cannot_upload_and_its_files_stay(system: Cluster, dial: Dial) -> None:
    """Only an operator can remove the files: `dragoman admin media remove --account`."""
    client = dial(system.edges[0])
    token = token_of(client)
    status, stored = post(system.edges[1], token)
    assert status == 201
    assert client.request({"code": 16}, 17)["status"] == 0
    deadline = time.monotonic() + WAIT_SECONDS
    while post(system.edges[1], token)[0] != 401:
        assert time.monotonic() < deadline
    for edge in system.edges:
        assert http(edge, "GET", f"/media/{json.loads(stored)['id']}") == (200, PNG)
