import pytest

from dragoman_client.aio import InvalidAddress, ServerAddress, parse_address
from dragoman_client.codec import CODECS

V2 = CODECS["ourchat-v2"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ws://h:8080", ServerAddress("ws://h:8080/ws/ourchat-v2", "h", 8080, is_tcp=False)),
        ("wss://h", ServerAddress("wss://h/ws/ourchat-v2", "h", 443, is_tcp=False)),
        ("ws://h:8080/", ServerAddress("ws://h:8080/", "h", 8080, is_tcp=False)),
        ("ws://[::1]:80/ws", ServerAddress("ws://[::1]:80/ws", "::1", 80, is_tcp=False)),
        ("tcp://h:54088", ServerAddress("tcp://h:54088", "h", 54088, is_tcp=True)),
    ],
)
def test_an_address_has_the_path_of_the_dialect_unless_it_has_one(text: str, address: ServerAddress) -> None:
    assert parse_address(text, V2) == address


@pytest.mark.parametrize(
    "text", ["", "h:8080", "http://h:8080", "ws://", "ws://h:99999", "tcp://h", "tcp://h:1/ws", "ws://[h:1"]
)
def test_a_text_that_is_no_address_is_rejected(text: str) -> None:
    with pytest.raises(InvalidAddress, match="is no address"):
        parse_address(text, V2)
