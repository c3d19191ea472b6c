"""Pictures and files: kept once for each content, found by addresses that nobody can guess, read in pieces."""

from services.edge.media.service import MediaService
from services.edge.media.upload_buffer import Upload

__all__ = ["MediaService", "Upload"]
