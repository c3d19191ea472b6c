"""Tests lines of IRC that only hostile clients cause."""

from dragoman_client.codec.events import ReplyKind, ServerReply
from dragoman_client.codec.irc import IrcCodec


def test_the_value_of_a_tag_may_contain_a_tab() -> None:
    line = b"@label=\t :irc.example 421 ann SUMMON :There is no such command"
    assert IrcCodec().decode(line) == ServerReply(ReplyKind.ANY, error="There is no such command")
