"""What an edge serves by HTTP on the clients' port."""

from services.edge.http.app import HttpApp
from services.edge.http.pages import VerificationResult

__all__ = ["HttpApp", "VerificationResult"]
