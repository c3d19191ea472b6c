"""Tests the state of a connection of the dialect service: the secret of its login, and whether messages are pushed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import CreateChatByUuid
from services.edge.dialects.base import ConnectionInfo, Request
from services.edge.dialects.service_code import Service
from services.edge.dialects.service_code.frames import STATES, error_reply
from shared.contract.auth import Authenticated, Login, Register
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import RequestMembership
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL

ME, OTHER = AccountId(12), AccountId(34)
UUID = "6f9619ff-8b86-4d01-b42d-00c04fc964ff"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxMiJ9.c2ln"
WRONG = Failure(ErrorCode.UNAUTHENTICATED, "unknown account or wrong secret")


def connection(query: str = "") -> Service:
    return Service(ConnectionInfo(LimitsSettings(), BASE_URL, query))


def decoded(service: Service, code: int, **content: Any) -> Request:
    (request,) = service.decode(json.dumps({"service_code": code, "content": content}).encode(), 0.0)
    return request


def enter(service: Service, request: Request, account: AccountId = ME) -> None:
    service.logged_in(account, 0.0)
    answer = Authenticated(account=account, sid="s", token=JWT, expires=0, uuid=UUID, nickname="n")
    service.encode_reply(request, answer, 0.0)


def log_in(service: Service, token: int | str = 1145141919810, **more: Any) -> None:
    enter(service, decoded(service, 1, id=UUID, token=token, **more))


def token_of(service: Service, token: int | str) -> str:
    """Returns the token that the edge must verify."""
    return decoded(service, 4, token=token).token


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("token", [1145141919810, "1145141919810"])
def test_the_secret_of_the_login_needs_no_token(code: int, token: int | str) -> None:
    service = connection()
    enter(service, decoded(service, code, id=UUID, token=token))
    assert token_of(service, 1145141919810) == token_of(service, "1145141919810") == ""
    assert token_of(service, 1145141919811) == "1145141919811"
    assert token_of(service, " 1145141919810") == " 1145141919810"
    assert token_of(service, JWT) == JWT


def test_a_secret_without_a_login_is_a_token() -> None:
    assert token_of(connection(), 5) == "5"


def test_a_failed_login_changes_nothing() -> None:
    service = connection()
    log_in(service, "old", push=True)
    rejected = decoded(service, 1, id=UUID, token="new")
    service.encode_error(rejected, WRONG)
    assert token_of(service, "new") == "new"
    assert token_of(service, "old") == ""
    enter_by_token(service)
    assert service.receives_pushes


def enter_by_token(service: Service, account: AccountId = ME) -> None:
    """Logs in as the edge does before it replies to the first request with a token."""
    service.logged_in(account, 0.0)


def test_the_secret_is_forgotten_with_the_account() -> None:
    service = connection()
    log_in(service, "old")
    service.logged_in(NO_ACCOUNT, 0.0)
    assert token_of(service, "old") == "old"
    log_in(service, "old")
    enter_by_token(service, OTHER)
    assert token_of(service, "old") == "old"


def test_a_login_by_token_leaves_the_token_to_be_verified_every_time() -> None:
    service = connection()
    request = decoded(service, 1, id=UUID, token=JWT)
    assert request.token == JWT
    enter(service, request)
    assert token_of(service, JWT) == JWT


@given(st.text(min_size=1).filter(lambda text: "\0" not in text) | st.integers(-(10**30), 10**30))
def test_exactly_the_same_secret_matches(secret: str | int) -> None:
    service = connection()
    log_in(service, secret)
    assert token_of(service, secret) == ""
    assert token_of(service, f"{secret}x") == f"{secret}x"


@pytest.mark.parametrize(("query", "pushes"), [
    ("", False), ("push=1", True), ("a=b&push=1", True), ("push=0", False), ("push", False), ("push=11", False),
    ("nopush=1", False), ("push=1&push=0", False),
])  # fmt: skip
def test_the_address_may_request_pushes(query: str, pushes: bool) -> None:
    service = connection(query)
    log_in(service)
    assert service.receives_pushes is pushes
    enter_by_token(service, OTHER)
    assert service.receives_pushes is pushes


def test_the_login_may_request_pushes() -> None:
    service = connection()
    log_in(service, push=True)
    assert service.receives_pushes
    log_in(service)
    assert not service.receives_pushes


def test_pushes_begin_with_the_login_not_with_its_request() -> None:
    service = connection()
    request = decoded(service, 1, id=UUID, token=5, push=True)
    assert not service.receives_pushes
    service.encode_error(request, WRONG)
    enter_by_token(service)
    assert not service.receives_pushes


@pytest.mark.parametrize("kind", [None, Login, Register, RequestMembership, CreateChatByUuid])
def test_every_error_reply_has_a_documented_form(kind: type | None) -> None:
    for code in ErrorCode:
        reply = json.loads(*error_reply(kind, Failure(code, "because")))
        if reply["state_code"] == 200:
            assert reply["content"] == {"msg": "failed", "cause": "because"}
        else:
            assert reply == {"state_code": STATES[code], "content": {"msg": "because"}}
