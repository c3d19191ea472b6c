"""The lines between the kit and a driver, which is the program around a client. Each line is a JSON object.

Each case starts a driver, and some cases start several at once. A driver reads steps from its standard input, and
writes a line to its standard output for each event. It ignores unknown members. It ends at the step `close`, or when
its input ends.
"""

from typing import Any

import msgspec

# Steps go from the test kit to the driver.


class ConnectStep(msgspec.Struct, tag_field="do", tag="connect"):
    """Log in with the token. Stay connected, as the client library does for its user."""

    url: str
    token: str


class SendTextStep(msgspec.Struct, tag_field="do", tag="send"):
    """Send a text. The line about the result has the same `key`."""

    key: str
    chat: int
    text: str


class CallStep(msgspec.Struct, tag_field="do", tag="call"):
    """Send any operation of native."""

    key: str
    op: str
    parameters: dict[str, Any]


class CloseStep(msgspec.Struct, tag_field="do", tag="close"):
    """End the connection and the program."""


Step = ConnectStep | SendTextStep | CallStep | CloseStep

# Lines go from the driver to the test kit. They show what the client gives to its user.


class GivenMessage(msgspec.Struct, tag_field="on", tag="message"):
    chat: int
    index: int
    text: str


class GivenChange(msgspec.Struct, tag_field="on", tag="changed"):
    chat: int
    rev: int
    index: int


class NamedGap(msgspec.Struct, tag_field="on", tag="gap", rename={"low": "from", "high": "to"}):
    """The client has reported a gap. It gives the messages of this range only if the program requests them."""

    chat: int
    low: int
    high: int


class CacheDropped(msgspec.Struct, tag_field="on", tag="reset"):
    """The client has told its program to forget all messages that it was given."""


class SendDone(msgspec.Struct, tag_field="on", tag="sent"):
    key: str
    chat: int
    index: int


class CallDone(msgspec.Struct, tag_field="on", tag="replied"):
    key: str


class StepFailed(msgspec.Struct, tag_field="on", tag="failed"):
    """The error reply to a `send` or `call`."""

    key: str
    code: str
    text: str
    field: str = ""


class ClientEnded(msgspec.Struct, tag_field="on", tag="ended"):
    """The client has ended, and does not reconnect by itself."""


DriverLine = GivenMessage | GivenChange | NamedGap | CacheDropped | SendDone | CallDone | StepFailed | ClientEnded

encode_step = msgspec.json.Encoder().encode
decode_line = msgspec.json.Decoder(DriverLine).decode
