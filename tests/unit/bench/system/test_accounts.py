"""Tests how the accounts of a run are registered, and when a registration is repeated."""

import pytest

from bench.system import accounts
from bench.system.accounts import Registrar
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec
from dragoman_client.codec.events import ReplyKind, ServerReply
from dragoman_client.errors import ClientError


async def test_a_registration_without_a_reply_is_repeated_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[bytes] = []

    async def register(
        _: Registrar, _codec: Codec, request: ClientRequest, _account: ClientAccount | None = None
    ) -> ServerReply:
        registered.append(request.frame)
        if len(registered) == 1:
            raise ClientError("no reply")
        return ServerReply(ReplyKind.REGISTRATION, number=7, token="token")

    monkeypatch.setattr(accounts, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Registrar, "_request", register)
    [account] = await Registrar(["ws://127.0.0.1:1"], lambda *_: None).users(["ourchat-v2"])
    assert account.number == 7
    first, second = registered
    assert account.email.encode() in second
    assert account.email.encode() not in first
