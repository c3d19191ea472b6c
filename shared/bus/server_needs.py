"""What a NATS server must offer: JetStream, and room for the largest request and reply."""

from nats.aio.client import Client

from shared.errors import StartupError

PAYLOAD_BYTES = 1_000_000
"""Of nats-server's own default, 1 MB. Requests and replies of half of it are usual."""

NO_JETSTREAM = "NATS runs without JetStream: start nats-server with -js, or with `jetstream {}` in its configuration"


class UnfitServer(StartupError):
    """The message says what to change at the server."""


def require_payload(client: Client) -> None:
    """Raises UnfitServer."""
    offered: int = client._server_info["max_payload"]  # the client's own leaves room for headers
    if offered < PAYLOAD_BYTES:
        raise UnfitServer(
            f"max_payload of NATS is {offered} bytes, and messages need {PAYLOAD_BYTES}: "
            "set max_payload to 1MB in the configuration of nats-server (nats.url)"
        )


def lacks_jetstream(client: Client) -> bool:
    """Of a server that has just failed to use it: in a cluster, another one may have it."""
    return not client._server_info.get("jetstream", False)
