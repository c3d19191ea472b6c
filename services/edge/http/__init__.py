"""The edge's HTTP application on the clients' port: media, avatars, verification links."""

from services.edge.http.app import HttpApp, MediaInterface, ProgramInterface
from services.edge.http.verification import VerificationLinks, VerificationResult

__all__ = ["HttpApp", "MediaInterface", "ProgramInterface", "VerificationLinks", "VerificationResult"]
