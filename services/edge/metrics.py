"""The edge's numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("dragoman_edge_connections", "Open connections", ["dialect"], registry=registry)
        self.undecided = Gauge(
            "dragoman_edge_undecided_connections", "Open connections without a dialect yet", registry=registry
        )
        self.residents = Gauge("dragoman_edge_accounts", "Accounts with a connection here", registry=registry)
        self.frames_in = Counter("dragoman_edge_frames_in", "Frames received", ["dialect"], registry=registry)
        self.frames_out = Counter("dragoman_edge_frames_out", "Frames sent", ["dialect"], registry=registry)
        self.refused = Counter("dragoman_edge_refusals", "Requests refused", ["dialect", "code"], registry=registry)
        self.closed = Counter("dragoman_edge_closes", "Connections closed by us", ["code"], registry=registry)
        self.delivered = Counter("dragoman_edge_deliveries", "Messages handed to connections", registry=registry)
        self.duplicates = Counter("dragoman_edge_duplicates", "Envelopes' messages seen before", registry=registry)
        self.catch_ups = Counter("dragoman_edge_catch_ups", "Chats whose gap was fetched", registry=registry)
        self.resyncs = Counter("dragoman_edge_resyncs", "Accounts compared after a loss", registry=registry)
        self.post_seconds = Histogram(
            "dragoman_edge_post_seconds", "From a message's frame to its acknowledgement", registry=registry
        )
        self.request_seconds = Histogram(
            "dragoman_edge_request_seconds", "From a request to its reply", ["command"], registry=registry
        )
