"""What session counts, beside the requests that the bus counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.profiles = Counter("dragoman_session_profiles", "Profiles created", registry=registry)
        self.chats = Counter("dragoman_session_chats", "Chats created", registry=registry)
        self.erased = Counter("dragoman_session_erased", "Accounts erased", registry=registry)
        self.departures = Counter("dragoman_session_departures", "Memberships ended by a deletion", registry=registry)
        self.notices = Counter("dragoman_session_notices", "Notices to edges", ["kind", "reach"], registry=registry)
        self.notices_lost = Counter("dragoman_session_notices_lost", "Notices not handed to NATS", registry=registry)
        self.untold = Gauge("dragoman_session_versions_untold", "Chats whose version Redis lacks", registry=registry)
        self.dropped = Counter("dragoman_session_versions_dropped", "Versions that found no place", registry=registry)
