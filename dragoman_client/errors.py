"""Failures that a client shows to the user, each as one sentence."""


class ClientError(Exception):
    """The base of all errors of a client; the message is one sentence for the user."""


class Unreachable(ClientError):
    """The server cannot be connected to."""


class ConnectionEnded(ClientError):
    """The server or the network ended the connection. `code` is the WebSocket close code; 1006: there was no close
    frame."""

    def __init__(self, text: str, code: int = 1006) -> None:
        super().__init__(text)
        self.code = code


class NoReply(ClientError):
    """A request has no reply in time."""


class RequestRejected(ClientError):
    """The reply to a request is an error. `status` is the dialect's number for the error."""

    def __init__(self, text: str, status: int = 0, *, needs_verification: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.needs_verification = needs_verification
