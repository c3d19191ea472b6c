"""Stores pictures and files. Each content is stored once, has unguessable ids, and is read in chunks."""

from services.edge.media.service import MediaService
from services.edge.media.upload_buffer import Upload

__all__ = ["MediaService", "Upload"]
