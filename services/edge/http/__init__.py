"""HTTP on the clients' port: operations of native and events, incoming webhooks, files both ways, avatars, links of
mails, the first page, a client in JavaScript. Begin with `app`, which routes requests by path."""

from services.edge.http.app import HttpApp, MediaInterface, ProgramInterface
from services.edge.http.verification import VerificationLinks, VerificationResult

__all__ = ["HttpApp", "MediaInterface", "ProgramInterface", "VerificationLinks", "VerificationResult"]
