"""Opens the media service of an edge: the store that the settings name, with its quotas and its sweeper."""

from typing import NamedTuple

from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.media.quota import MediaCounters, MediaQuota
from services.edge.media.resumable import ResumableUploads
from services.edge.media.service import MediaService
from services.edge.media.store import MediaStore, retention
from services.edge.media.sweeper import MediaSweeper
from services.edge.metrics import EdgeMetrics
from shared.contract.ids import NodeId
from shared.settings import MediaSettings, Settings


def open_store(settings: MediaSettings, disk: Disk) -> MediaStore:
    if settings.bucket_url:
        from services.edge.media.bucket import BucketStore  # its library costs memory

        return BucketStore(settings)
    return DirectoryStore(settings.directory, disk)


class OpenedMedia(NamedTuple):
    service: MediaService
    resumable: ResumableUploads
    sweeper: MediaSweeper


def open_media(node: NodeId, settings: Settings, metrics: EdgeMetrics) -> OpenedMedia:
    disk = Disk()
    store, counters = open_store(settings.media, disk), MediaCounters(settings.redis)
    quota = MediaQuota(counters, settings.media)
    media = MediaService(store, settings, metrics, disk, quota)
    resumable = ResumableUploads(store, media, settings, metrics, quota)
    return OpenedMedia(media, resumable, MediaSweeper(node, media, store, retention(settings), counters, quota))
