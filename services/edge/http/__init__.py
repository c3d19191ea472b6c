"""The edge's HTTP application on the clients' port: media, avatars, verification links."""

from services.edge.http.app import HttpApp, ProgramInterface
from services.edge.http.verification import VerificationLinks, VerificationResult

__all__ = ["HttpApp", "ProgramInterface", "VerificationLinks", "VerificationResult"]
