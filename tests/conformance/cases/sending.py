"""Cases about commands. Each message must be stored once and acknowledged once, and errors must reach the caller."""

import time

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import Reply
from shared.contract.errors import ErrorCode, Failure
from shared.contract.message import ChangeMessage, PinMessage
from tests.conformance.case_run import GROUP, RETRY_SECONDS, CaseRun, ClientCase
from tests.conformance.driver_lines import CallDone, CallStep, SendDone, SendTextStep, StepFailed
from tests.conformance.server import Peer

_AGAIN_SECONDS = 2.0
_TEXT = "an apple"
_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the service did not answer in time, please try again")


async def _acknowledged(run: CaseRun) -> None:
    await run.started(1)
    for key in ("a", "b"):
        await run.driver.send(SendTextStep(key, GROUP, _TEXT))
    lines = [await run.sent(key) for key in ("a", "b")]
    run.check({line.index for line in lines} == {2, 3}, f"the lines `sent` have the indexes {lines}, not 2 and 3")
    nonces = {command.nonce for command in run.commands(PostMessage)}
    run.check(len(nonces) == 2, "two messages have the same nonce")
    await _acknowledged_once(run, 2)


async def _acknowledged_once(run: CaseRun, messages: int = 1) -> None:
    await run.quiet(0.5)
    lines = [line for line in run.driver.lines if isinstance(line, SendDone)]
    run.check(len(lines) == messages, f"{messages} messages have {len(lines)} lines `sent`")


async def _repeats(run: CaseRun, failure: Failure | None, *, stores: bool) -> None:
    """The connection is lost before the first `send` has a reply.

    Or the reply is an error that does not say whether the message is stored.
    """
    await run.started(1)
    times: list[float] = []

    def post(peer: Peer, command: PostMessage) -> Reply | Failure | None:
        times.append(time.monotonic())
        if len(times) > 1:
            return run.chats.post(command)
        if stores:
            run.chats.post(command)
        if failure is None:
            peer.lose()
        return failure

    run.server.handle(PostMessage, post)
    await run.driver.send(SendTextStep("a", GROUP, _TEXT))
    line = await run.sent("a")
    commands = run.commands(PostMessage)
    run.check(len(commands) == 2, f"the client has sent the message {len(commands)} times, not twice")
    run.check(commands[0].nonce == commands[1].nonce, "the client has sent the message again with another nonce")
    run.check(line.index == 2, f"the line `sent` has index {line.index}, and the message has 2")
    if failure is not None:
        waited = times[1] - times[0]
        run.check(waited >= RETRY_SECONDS, f"the client has sent it again after {waited:.2f} s, `retry_ms` was 1000")
    await _acknowledged_once(run)


async def _lost_reply(run: CaseRun) -> None:
    await _repeats(run, None, stores=True)


async def _lost_command(run: CaseRun) -> None:
    await _repeats(run, None, stores=False)


async def _unknown(run: CaseRun) -> None:
    await _repeats(run, _UNAVAILABLE, stores=False)


async def _unknown_and_stored(run: CaseRun) -> None:
    await _repeats(run, _UNAVAILABLE, stores=True)


async def _offline(run: CaseRun) -> None:
    peer = await run.started(1)
    run.server.rejects = True
    peer.lose()
    await run.until(lambda: len(run.server.attempts) > 1, "an attempt to connect again")
    await run.driver.send(SendTextStep("a", GROUP, _TEXT))
    await run.quiet(0.2)
    run.server.rejects = False
    await run.sent("a")
    await _acknowledged_once(run)


async def _own_message(run: CaseRun) -> None:
    """The sender gets a reply and no event for its own message. The client must not take that for a missing message."""
    peer = await run.started(1)
    await run.driver.send(SendTextStep("a", GROUP, _TEXT))
    await run.sent("a")
    await peer.push(*run.chats.fill(GROUP, 1))
    await run.given(GROUP, 3)
    peer.lose()
    run.check_position(await run.connected(2), GROUP, 3, "e1")


async def _rejected(run: CaseRun) -> None:
    await run.started(1)
    failure = Failure(ErrorCode.FORBIDDEN, "you may not send here", "chat")
    run.server.handle(PostMessage, lambda *_: failure)
    await run.driver.send(SendTextStep("a", GROUP, _TEXT))
    _check_failure(run, await run.line(StepFailed), "a", failure)
    await run.quiet(_AGAIN_SECONDS)
    run.check(len(run.commands(PostMessage)) == 1, "the client has sent a message again that was rejected")


async def _call(run: CaseRun) -> None:
    await run.started(1)
    failure = Failure(ErrorCode.NOT_FOUND, "there is no such message", "index")
    run.server.handle(ChangeMessage, lambda *_: failure)
    await run.driver.send(CallStep("a", "pin", {"chat": GROUP, "index": 7}))
    await run.driver.send(CallStep("b", "read", {"chat": GROUP, "index": 1}))
    _check_failure(run, await run.line(StepFailed), "a", failure)
    line = await run.line(CallDone)
    run.check(line.key == "b", f"the line `replied` has the key {line.key}, not b")
    (pin,) = run.commands(ChangeMessage)
    run.check(pin == ChangeMessage(GROUP, 7, PinMessage(on=True)), f"`pin` was sent as {pin}")


def _check_failure(run: CaseRun, line: StepFailed, key: str, failure: Failure) -> None:
    expected = StepFailed(key, failure.code.value, failure.text, failure.field)
    run.check(line == expected, f"the error is {line}, and {expected} was sent")


CASES = (
    ClientCase("send", "gives the index of each message that it sends, once", _acknowledged),
    ClientCase("lost-reply", "sends a message again whose reply is lost, with the same nonce", _lost_reply),
    ClientCase("lost-command", "sends a message again that has not arrived", _lost_command),
    ClientCase("unknown", "sends again after an error with `unknown`, with the same nonce, after `retry_ms`", _unknown),
    ClientCase("again", "takes the reply with `again` as any other", _unknown_and_stored),
    ClientCase("offline", "sends after it has come back what was written before", _offline),
    ClientCase("own-message", "takes an own message for no hole", _own_message),
    ClientCase("rejected", "gives code, text and field of a rejected message to its caller", _rejected),
    ClientCase("call", "gives code, text and field of any rejected command to its caller", _call),
)
