"""The five dialects, by the names that options and plans use."""

from bench.tongues.base import Founding, Tongue
from bench.tongues.ourchat import OurChatV0, OurChatV1, OurChatV2
from bench.tongues.pipe import Pipe
from bench.tongues.service import Service

V2 = OurChatV2()
SERVICE = Service()
TONGUES: dict[str, Tongue] = {"v2": V2, "service": SERVICE, "pipe": Pipe(), "v1": OurChatV1(), "v0": OurChatV0()}


def founding(dialect: str) -> Founding:
    """Where people of a dialect are registered: an account of v2 opens all doors but that of service."""
    return SERVICE if dialect == "service" else V2
