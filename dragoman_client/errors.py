"""Failures that a client shows to the user, each as one sentence."""


class ClientError(Exception):
    """The base class of all errors of a client. The message is one sentence for the user."""


class Unreachable(ClientError):
    """It is not possible to connect to the server."""


class ConnectionEnded(ClientError):
    """The server or the network has ended the connection. `code` is the WebSocket close code, or 1006 if there was no
    close frame."""

    def __init__(self, text: str, code: int = 1006) -> None:
        super().__init__(text)
        self.code = code


class NoReply(ClientError):
    """The reply to a request has not arrived in time."""


class RequestRejected(ClientError):
    """The reply to a request is an error. `status` is the dialect's number of the error."""

    def __init__(self, text: str, status: int = 0, *, needs_verification: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.needs_verification = needs_verification
