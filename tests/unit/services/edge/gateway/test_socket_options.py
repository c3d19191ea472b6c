import socket
import sys

import pytest

from services.edge.gateway import socket_options


def accepted(listener: socket.socket) -> socket.socket:
    with socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
    return connection


@pytest.mark.skipif(sys.platform != "linux", reason="Linux hands options on to accepted sockets")
def test_accepted_sockets_have_small_buffers_and_a_time_out() -> None:
    (listener,) = socket_options.listen("127.0.0.1", 0)
    with listener, accepted(listener) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 128 * 1024
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000


def test_a_port_in_use_is_an_error() -> None:
    (listener,) = socket_options.listen("127.0.0.1", 0)
    with listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use"):
            socket_options.listen("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6() -> None:
    (listener,) = socket_options.listen("::1", 0)
    with listener, accepted(listener) as connection:
        assert connection.family == socket.AF_INET6


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no dual stack")
def test_the_unspecified_address_serves_both_families() -> None:
    (listener,) = socket_options.listen("::", 0)
    with listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port)):
                listener.accept()[0].close()
