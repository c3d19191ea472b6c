"""Checks whether an upgrade keeps the data.

`python -m tests.deploy.kept_data write URL FILE` posts messages, files and webhooks, and writes to FILE what the
accounts see. After the upgrade, `python -m tests.deploy.kept_data compare URL FILE` compares what they see now. The
exit status is 1 if something differs.

URL is ws://HOST:PORT of an installation without rate limits.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.native_http import post, register
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.system.test_incoming_webhooks import post_to_webhook
from tests.system.test_media import http
from tests.system.users import NativeUser

GROUPS, MEMBERS, MESSAGES = 5, 4, 2_000
"""The number of groups, and the numbers of members and messages of each group."""
IN_FLIGHT = 50
FILE_BYTES = 200_000


def write(edge: str) -> dict[str, Any]:
    accounts = [register(edge) for _ in range(GROUPS * MEMBERS)]
    groups = []
    for number in range(GROUPS):
        own = accounts[number * MEMBERS : (number + 1) * MEMBERS]
        members = [one["account"] for one in own[1:]]
        chat = _done(edge, "create", own[0]["token"], name=f"Group {number}", members=members)["chat"]
        secret = _done(edge, "create_hook", own[0]["token"], chat=chat, name="Watch")["secret"]
        _post_all(edge, own[number % MEMBERS]["token"], chat)
        _done(edge, "read", own[-1]["token"], chat=chat, index=MESSAGES // 2 + number)
        content = hashlib.shake_256(bytes([number])).digest(FILE_BYTES)
        status, body = http(edge, "POST", "/media?name=x.bin", content, Authorization=f"Bearer {own[0]['token']}")
        assert status == 201, body
        groups.append({"chat": chat, "webhook": secret, "file": json.loads(body)["id"], "token": own[0]["token"]})
    noted = {"groups": groups, "tokens": [one["token"] for one in accounts]}
    return noted | {"seen": look(edge, noted)}


def _post_all(edge: str, token: str, chat: int) -> None:
    with NativeUser(edge) as user:
        user.do("token", token=token)
        for number in range(MESSAGES):
            text = f"word{number} in {chat}"
            user.send({"op": "send", "id": 10 + number, "chat": chat, "text": text, "nonce": str(number)})
            if number >= IN_FLIGHT:
                user.receive(f'{{"re":{10 + number - IN_FLIGHT},')
        for number in range(MESSAGES - IN_FLIGHT, MESSAGES):
            user.receive(f'{{"re":{10 + number},')


def _done(edge: str, operation: str, token: str, **members: object) -> dict[str, Any]:
    done = post(edge, operation, token, **members)
    assert done.status == 200, done
    return done.body


def look(edge: str, noted: dict[str, Any]) -> dict[str, Any]:
    """Returns digests of histories and files, and the unread messages of each account."""
    seen: dict[str, Any] = {}
    for one in noted["groups"]:
        digest = hashlib.sha256(json.dumps([*_history(edge, one["token"], one["chat"])]).encode())
        seen[f"history of {one['chat']}"] = digest.hexdigest()
        status, content = http(edge, "GET", f"/media/{one['file']}", Authorization=f"Bearer {one['token']}")
        seen[f"file {one['file']}"] = [status, hashlib.sha256(content).hexdigest()]
    for number, token in enumerate(noted["tokens"]):
        seen[f"unread of {number}"] = _done(edge, "unread", token)["total"]
    return seen


def _history(edge: str, token: str, chat: int) -> Iterator[Any]:
    """Returns the messages from before the upgrade."""
    first = 1
    while first <= MESSAGES:
        options = {"from": first, "count": min(200, MESSAGES + 1 - first), "dir": "newer"}
        messages = _done(edge, "history", token, chat=chat, **options)["messages"]
        if not messages:
            return
        yield from messages
        first = messages[-1]["index"] + 1


def compare(edge: str, noted: dict[str, Any]) -> list[str]:
    """Yields the differences.

    Also checks that search finds messages from before the upgrade, and that webhooks still post.
    """
    now = look(edge, noted)
    differing = [f"{key}: {value} became {now[key]}" for key, value in noted["seen"].items() if now[key] != value]
    for one in noted["groups"]:

        def found(one: dict[str, Any] = one) -> bool:
            hits = post(edge, "search", one["token"], query=f"word{MESSAGES - 1} ", count=50).body.get("hits", ())
            return any(hit["chat"] == one["chat"] for hit in hits)

        block_until(found, 10 * WAIT_SECONDS)
        if post_to_webhook(edge, one["webhook"], "after the upgrade").status != 200:
            differing.append(f"the webhook of {one['chat']} does not post")
    return differing


def main(action: str, edge: str, file: str) -> int:
    path = Path(file)
    if action == "write":
        noted = write(edge)
        path.write_text(json.dumps(noted))
        sys.stdout.write(f"{len(noted['groups']) * MESSAGES} messages, {len(noted['seen'])} things noted\n")
        return 0
    noted = json.loads(path.read_text())
    differing = compare(edge, noted)
    sys.stdout.write("\n".join(differing or [f"{len(noted['seen'])} things are the same; all is found; webhooks post"]))
    sys.stdout.write("\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
