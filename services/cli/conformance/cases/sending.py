"""Cases of commands: messages are stored once and acknowledged once, and errors reach the caller."""

import time

from services.cli.conformance.driver_lines import CallDone, CallStep, SendDone, SendStep, StepFailed
from services.cli.conformance.server import Peer
from services.cli.conformance.trial import GROUP, RETRY_SECONDS, Case, Trial
from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import Reply
from shared.contract.errors import ErrorCode, Failure
from shared.contract.message import ChangeMessage, PinMessage

_AGAIN_SECONDS = 2.0
_TEXT = "an apple"
_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the service did not answer in time, please try again")


async def _acknowledged(trial: Trial) -> None:
    await trial.started(1)
    for key in ("a", "b"):
        await trial.driver.send(SendStep(key, GROUP, _TEXT))
    lines = [await trial.sent(key) for key in ("a", "b")]
    trial.check({line.index for line in lines} == {2, 3}, f"the lines `sent` have the indexes {lines}, not 2 and 3")
    nonces = {command.nonce for command in trial.commands(PostMessage)}
    trial.check(len(nonces) == 2, "two messages have the same nonce")
    await _acknowledged_once(trial, 2)


async def _acknowledged_once(trial: Trial, messages: int = 1) -> None:
    await trial.quiet(0.5)
    lines = [line for line in trial.driver.lines if isinstance(line, SendDone)]
    trial.check(len(lines) == messages, f"{messages} messages have {len(lines)} lines `sent`")


async def _repeats(trial: Trial, failure: Failure | None, *, stores: bool) -> None:
    """The first `send` gets no reply, because the connection is lost, or an error that does not say what happened."""
    await trial.started(1)
    times: list[float] = []

    def post(peer: Peer, command: PostMessage) -> Reply | Failure | None:
        times.append(time.monotonic())
        if len(times) > 1:
            return trial.chats.post(command)
        if stores:
            trial.chats.post(command)
        if failure is None:
            peer.lose()
        return failure

    trial.server.handle(PostMessage, post)
    await trial.driver.send(SendStep("a", GROUP, _TEXT))
    line = await trial.sent("a")
    commands = trial.commands(PostMessage)
    trial.check(len(commands) == 2, f"the client has sent the message {len(commands)} times, not twice")
    trial.check(commands[0].nonce == commands[1].nonce, "the client has sent the message again with another nonce")
    trial.check(line.index == 2, f"the line `sent` has index {line.index}, and the message has 2")
    if failure is not None:
        waited = times[1] - times[0]
        trial.check(waited >= RETRY_SECONDS, f"the client has sent it again after {waited:.2f} s, `retry_ms` was 1000")
    await _acknowledged_once(trial)


async def _lost_reply(trial: Trial) -> None:
    await _repeats(trial, None, stores=True)


async def _lost_command(trial: Trial) -> None:
    await _repeats(trial, None, stores=False)


async def _unknown(trial: Trial) -> None:
    await _repeats(trial, _UNAVAILABLE, stores=False)


async def _unknown_and_stored(trial: Trial) -> None:
    await _repeats(trial, _UNAVAILABLE, stores=True)


async def _offline(trial: Trial) -> None:
    peer = await trial.started(1)
    trial.server.rejects = True
    peer.lose()
    await trial.until(lambda: len(trial.server.attempts) > 1, "an attempt to connect again")
    await trial.driver.send(SendStep("a", GROUP, _TEXT))
    await trial.quiet(0.2)
    trial.server.rejects = False
    await trial.sent("a")
    await _acknowledged_once(trial)


async def _own_message(trial: Trial) -> None:
    """The reply takes the place of the event: an own message is no hole."""
    peer = await trial.started(1)
    await trial.driver.send(SendStep("a", GROUP, _TEXT))
    await trial.sent("a")
    await peer.push(*trial.chats.fill(GROUP, 1))
    await trial.given(GROUP, 3)
    peer.lose()
    trial.check_position(await trial.connected(2), GROUP, 3, "e1")


async def _rejected(trial: Trial) -> None:
    await trial.started(1)
    failure = Failure(ErrorCode.FORBIDDEN, "you may not send here", "chat")
    trial.server.handle(PostMessage, lambda *_: failure)
    await trial.driver.send(SendStep("a", GROUP, _TEXT))
    _check_failure(trial, await trial.line(StepFailed), "a", failure)
    await trial.quiet(_AGAIN_SECONDS)
    trial.check(len(trial.commands(PostMessage)) == 1, "the client has sent a message again that was rejected")


async def _call(trial: Trial) -> None:
    await trial.started(1)
    failure = Failure(ErrorCode.NOT_FOUND, "there is no such message", "index")
    trial.server.handle(ChangeMessage, lambda *_: failure)
    await trial.driver.send(CallStep("a", "pin", {"chat": GROUP, "index": 7}))
    await trial.driver.send(CallStep("b", "read", {"chat": GROUP, "index": 1}))
    _check_failure(trial, await trial.line(StepFailed), "a", failure)
    line = await trial.line(CallDone)
    trial.check(line.key == "b", f"the line `replied` has the key {line.key}, not b")
    (pin,) = trial.commands(ChangeMessage)
    trial.check(pin == ChangeMessage(GROUP, 7, PinMessage(on=True)), f"`pin` was sent as {pin}")


def _check_failure(trial: Trial, line: StepFailed, key: str, failure: Failure) -> None:
    expected = StepFailed(key, failure.code.value, failure.text, failure.field)
    trial.check(line == expected, f"the error is {line}, and {expected} was sent")


CASES = (
    Case("send", "gives the index of each message that it sends, once", _acknowledged),
    Case("lost-reply", "sends a message again whose reply is lost, with the same nonce", _lost_reply),
    Case("lost-command", "sends a message again that has not arrived", _lost_command),
    Case("unknown", "sends again after an error with `unknown`, with the same nonce, after `retry_ms`", _unknown),
    Case("again", "takes the reply with `again` as any other", _unknown_and_stored),
    Case("offline", "sends after it has come back what was written before", _offline),
    Case("own-message", "takes an own message for no hole", _own_message),
    Case("rejected", "gives code, text and field of a rejected message to its caller", _rejected),
    Case("call", "gives code, text and field of any rejected command to its caller", _call),
)
