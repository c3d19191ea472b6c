"""A server listens on all addresses of a host name."""

import socket

import pytest

from shared import listening
from shared.listening import listen

LACKING = (socket.AF_INET, "192.0.2.1")
BOTH = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_a_name_with_two_addresses_is_served_at_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "addresses", lambda host: BOTH)
    listeners = listen("localhost", 0)
    [number] = {listener.getsockname()[1] for listener in listeners}
    for _, address in BOTH:
        socket.create_connection((address, number)).close()
    with pytest.raises(OSError, match="in use"):
        listen("localhost", number)
    for listener in listeners:
        listener.close()


def test_an_address_that_the_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "addresses", lambda host: [LACKING, (socket.AF_INET, "127.0.0.1")])
    (listener,) = listen("localhost", 0)
    listener.close()
    with pytest.raises(OSError, match="Cannot assign"):
        listening._listen([LACKING], 0, 1)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(OSError, match=r"not known|resolution"):
        listen("no-such-host.invalid", 0)
