"""If packets are lost in a far network, a connection is silent. The data arrive when packets are forwarded again."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.far_network import FarNetwork, far_network, missing

_reason = missing()
pytestmark = pytest.mark.skipif(bool(_reason), reason=_reason)

_SILENCE_SECONDS = 0.5


@pytest.fixture
def network() -> Iterator[FarNetwork]:
    with far_network() as network:
        yield network


def test_lost_packets_are_silence(network: FarNetwork) -> None:
    with socket.create_server((network.address, 0)) as listener:
        with (
            network.proxy(listener.getsockname()[1]) as port,
            socket.create_connection(("127.0.0.1", port), 10) as client,
        ):
            server, (peer, _) = listener.accept()
            assert peer != network.address
            with server:
                server.settimeout(_SILENCE_SECONDS)
                client.sendall(b"x")
                assert server.recv(1) == b"x"
                network.lose_packets(True)
                client.sendall(b"y")
                server.sendall(b"z")
                for end in (server, client):
                    end.settimeout(_SILENCE_SECONDS)
                    with pytest.raises(TimeoutError):
                        end.recv(1)
                network.lose_packets(False)
                for end, data in ((server, b"y"), (client, b"z")):
                    end.settimeout(20)
                    assert end.recv(1) == data
