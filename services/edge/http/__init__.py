"""HTTP on the clients' port: operations of native, webhooks, files, avatars, mailed links and web pages. Begin with
`app.py`, which routes requests by path."""

from services.edge.http.app import HttpApp, MediaInterface, ProgramInterface
from services.edge.http.mail_links import LinkPages, VerificationResult

__all__ = ["HttpApp", "LinkPages", "MediaInterface", "ProgramInterface", "VerificationResult"]
