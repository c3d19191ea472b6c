"""Failures that a client reports to its user, each as one sentence."""


class ClientError(Exception):
    """Anything that keeps a client from doing what it was asked to do."""


class Unreachable(ClientError):
    """The server cannot be connected to."""


class ConnectionEnded(ClientError):
    """The server or the network ended the connection. `code` is that of WebSocket; 1006: there was no close frame."""

    def __init__(self, text: str, code: int = 1006) -> None:
        super().__init__(text)
        self.code = code


class NoReply(ClientError):
    """A request has no reply in time."""


class RequestRejected(ClientError):
    """The reply to a request is an error. `status` is the dialect's number for it."""

    def __init__(self, text: str, status: int = 0, *, needs_verification: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.needs_verification = needs_verification
