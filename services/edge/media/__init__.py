"""Pictures and files: stored once per content, addressed by unguessable ids, read in chunks."""

from services.edge.media.service import MediaService
from services.edge.media.upload_buffer import Upload

__all__ = ["MediaService", "Upload"]
