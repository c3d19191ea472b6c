"""Dead letters: durable events that a service gave up. An operator lists them, and retries them after a repair, or
discards those that nothing can repair."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import msgspec
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from local.installation import Installation
from services.cli.admin.bus_client import USER
from services.cli.streams import connect
from shared.bus.durable import RETRIED_BY
from shared.contract.subjects import DEAD_LETTER_SUBJECTS, DEAD_LETTERS, STREAM, TOPICS
from shared.settings import NatsSettings

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_TOPICS = {topic.subject: topic for topic in TOPICS}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as the stream stores it. `given_up`: Unix milliseconds; `event`: its fields, without secrets."""

    number: int
    service: str
    subject: str
    given_up: int
    attempts: str
    error: str
    event: str


@asynccontextmanager
async def open_dead_letters(installation: Installation) -> AsyncIterator["DeadLetters"]:
    """Raises click.ClickException."""
    async with open_stream(installation.broker(USER)) as dead_letters:
        yield dead_letters


@asynccontextmanager
async def open_stream(broker: NatsSettings) -> AsyncIterator["DeadLetters"]:
    """`broker`: the settings of a user that may read dead letters, or count them. Raises click.ClickException."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await connect(broker)
    except (TimeoutError, nats.errors.Error) as error:
        raise click.ClickException(
            "the broker does not answer, or rejects the connection: is the system running?"
        ) from error
    try:
        yield DeadLetters(client.jetstream(timeout=_ANSWER_SECONDS))
    except nats.errors.Error as error:
        raise click.ClickException(f"the broker fails: {error!r}") from error
    finally:
        await client.close()


class DeadLetters:
    """The stream of dead letters. Each method raises nats.errors.Error."""

    def __init__(self, stream: JetStreamContext) -> None:
        self._stream = stream

    async def list(self) -> list[DeadLetter]:
        """Oldest first."""
        return [_dead_letter(message) async for message in self._all()]

    async def count(self) -> int:
        return (await self._stream.stream_info(DEAD_LETTERS)).state.messages

    async def show(self, number: int) -> DeadLetter:
        return _dead_letter(await self._get(number))

    async def retry(self, number: int) -> DeadLetter:
        """Publish the event to all its consumers again. Those that had processed it already ignore it."""
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
            raise click.ClickException(f"there is no dead letter {number}") from error

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
    """The repr of the event, which omits secrets."""
    topic = _TOPICS.get(subject)
    if topic is None:
        return "(of a type unknown to this version)"
    try:
        return repr(msgspec.msgpack.decode(data, type=topic.event))
    except msgspec.MsgspecError as error:
        return f"(cannot be read: {error})"


def _number(message: RawStreamMsg) -> int:
    assert message.seq is not None
    return message.seq
