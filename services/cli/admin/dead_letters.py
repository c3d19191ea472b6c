"""`dragoman admin dead-letters`. Dead letters are durable events whose processing a service has given up. An operator
lists dead letters, retries them after a repair, or discards events that cannot be repaired."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import click
import msgspec
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from local.installation import Installation
from local.options import CommandFailed
from services.cli.admin import format
from services.cli.admin.bus_client import DOCTOR, USER, no_answer
from services.cli.admin.command import json_option, number_argument, on_installation, record, yes_option
from services.cli.console import confirm
from services.cli.streams import connect
from shared.bus.durable import RETRIED_BY
from shared.contract.subjects import DEAD_LETTER_SUBJECTS, DEAD_LETTERS, STREAM, TOPICS
from shared.settings.servers import NatsSettings

A = TypeVar("A")

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_TOPICS = {topic.subject: topic for topic in TOPICS}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as the stream stores it. `given_up`: Unix milliseconds. `event`: the fields of the event, without
    secrets."""

    number: int
    service: str
    subject: str
    given_up: int
    attempts: str
    error: str
    event: str


@asynccontextmanager
async def open_dead_letters(installation: Installation) -> AsyncIterator["DeadLetters"]:
    """The dead letters of an installation. Raises CommandFailed, OperatorError."""
    async with open_stream(installation.broker(USER)) as dead_letters:
        yield dead_letters


@asynccontextmanager
async def open_stream(broker: NatsSettings) -> AsyncIterator["DeadLetters"]:
    """The dead letters in NATS. `broker`: the settings of a NATS user that may read or count dead letters. Raises
    CommandFailed."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await connect(broker)
    except (TimeoutError, nats.errors.Error) as error:
        raise no_answer(broker, str(error)) from error
    try:
        yield DeadLetters(client.jetstream(timeout=_ANSWER_SECONDS))
    except nats.errors.Error as error:
        raise CommandFailed(f"NATS fails: {error!r}", DOCTOR) from error
    finally:
        await client.close()


class DeadLetters:
    """The stream of dead letters, which operators list and change. Each method raises nats.errors.Error."""

    def __init__(self, stream: JetStreamContext) -> None:
        self._stream = stream

    async def list(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        return [_dead_letter(message) async for message in self._all()]

    async def count(self) -> int:
        return (await self._stream.stream_info(DEAD_LETTERS)).state.messages

    async def show(self, number: int) -> DeadLetter:
        return _dead_letter(await self._get(number))

    async def retry(self, number: int) -> DeadLetter:
        """Publish the event to all its consumers again. Consumers that had already processed the event ignore it."""
        message = await self._get(number)
        dead_letter = _dead_letter(message)
        headers = {RETRIED_BY: USER, "Nats-Msg-Id": f"dead-{number}-{dead_letter.given_up}"}
        await self._stream.publish(dead_letter.subject, message.data or b"", headers=headers, stream=STREAM)
        await self._stream.delete_msg(DEAD_LETTERS, number)
        return dead_letter

    async def discard(self, number: int) -> None:
        await self._get(number)
        await self._stream.delete_msg(DEAD_LETTERS, number)

    async def _get(self, number: int) -> RawStreamMsg:
        try:
            return await self._stream.get_msg(DEAD_LETTERS, number)
        except NotFoundError as error:
            raise CommandFailed(
                f"there is no dead letter {number}", "`dragoman admin dead-letters list` shows the numbers"
            ) from error

    async def _all(self) -> AsyncIterator[RawStreamMsg]:
        number = 0
        while True:
            try:
                message = await self._stream.get_msg(DEAD_LETTERS, number + 1, subject=DEAD_LETTER_SUBJECTS, next=True)
            except NotFoundError:
                return
            yield message
            number = _number(message)


def _dead_letter(message: RawStreamMsg) -> DeadLetter:
    _, service, subject = str(message.subject).split(".", 2)
    headers = message.headers or {}
    assert message.time is not None
    return DeadLetter(
        number=_number(message),
        service=service,
        subject=subject,
        given_up=int(message.time.timestamp() * 1000),
        attempts=headers.get("Attempts", ""),
        error=headers.get("Error", ""),
        event=_event(subject, message.data or b""),
    )


def _event(subject: str, data: bytes) -> str:
    """The text of the event, without secrets."""
    topic = _TOPICS.get(subject)
    if topic is None:
        return "(this version does not know its type)"
    try:
        return repr(msgspec.msgpack.decode(data, type=topic.event))
    except msgspec.MsgspecError as error:
        return f"(cannot be read: {error})"


def _number(message: RawStreamMsg) -> int:
    assert message.seq is not None
    return message.seq


_numbers = click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


@click.group("dead-letters")
def dead_letters() -> None:
    """Events that a service gave up: list, show, retry, discard."""


def _work(installation: Installation, work: "Callable[[DeadLetters], Awaitable[A]]") -> A:
    async def run() -> A:
        async with open_dead_letters(installation) as dead_letters:
            return await work(dead_letters)

    return asyncio.run(run())


@dead_letters.command("list")
@on_installation
@json_option
def dead_letters_list(installation: Installation, as_json: bool) -> None:
    """List dead letters, oldest first."""
    found = _work(installation, DeadLetters.list)
    format.show(found, _list_text, as_json=as_json)


@dead_letters.command("show")
@on_installation
@number_argument
@json_option
def dead_letters_show(installation: Installation, number: int, as_json: bool) -> None:
    """Show one dead letter and its error."""
    found = _work(installation, lambda stream: stream.show(number))
    format.show(found, _text, as_json=as_json)


@dead_letters.command("retry", epilog="Example: dragoman admin dead-letters retry 17 18")
@on_installation
@_numbers
def dead_letters_retry(installation: Installation, numbers: tuple[int, ...]) -> None:
    """Publish events to their consumers again.

    Published events are removed from the list.
    """

    async def work(stream: DeadLetters) -> None:
        for number in numbers:
            dead_letter = await stream.retry(number)
            click.echo(f"{number}: {dead_letter.subject} is published again")

    _work(installation, work)
    record(installation, "retry events", " ".join(map(str, numbers)))


@dead_letters.command("discard", epilog="Example: dragoman admin dead-letters discard 17")
@on_installation
@_numbers
@yes_option
def dead_letters_discard(installation: Installation, numbers: tuple[int, ...], yes: bool) -> None:
    """Remove events that nothing can repair.

    The work of discarded events is never done. This cannot be undone.
    """
    named = " ".join(map(str, numbers))
    confirm(f"Discard {named}?", yes=yes)

    async def work(stream: DeadLetters) -> None:
        for number in numbers:
            await stream.discard(number)
            click.echo(f"{number}: discarded")

    _work(installation, work)
    record(installation, "discard events", named)


def _list_text(found: Sequence[DeadLetter]) -> str:
    heads = ["NUMBER", "GIVEN UP", "SERVICE", "EVENT", "ERROR"]
    rows = [(one.number, format.moment(one.given_up), one.service, one.subject, one.error) for one in found]
    return format.table(heads, rows, "there are no dead letters")


def _text(found: DeadLetter) -> str:
    return format.record(
        ("number", found.number),
        ("given up", format.moment(found.given_up)),
        ("service", found.service),
        ("subject", found.subject),
        ("attempts", found.attempts),
        ("error", found.error),
        ("event", found.event),
    )
