"""HTTP on the clients' port: operations of native and events, incoming webhooks, files both ways, avatars, links of
mails, the first page, the web client, a client in JavaScript. Begin with `app`, which routes requests by path."""

from services.edge.http.app import HttpApp, MailInterface, MediaInterface, ProgramInterface
from services.edge.http.unsubscription import UnsubscribeLinks
from services.edge.http.verification import VerificationLinks, VerificationResult

__all__ = [
    "HttpApp",
    "MailInterface",
    "MediaInterface",
    "ProgramInterface",
    "UnsubscribeLinks",
    "VerificationLinks",
    "VerificationResult",
]
