"""The dashboard of search."""

from shared.dashboard.panels import (
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    Unit,
    count,
    dashboard,
    gauge,
    group,
    percentiles,
    rate,
)

DASHBOARD = dashboard(
    "search",
    group(
        "The index",
        rate("Indexed", "dragoman_search_indexed"),
        gauge("Behind by", "dragoman_search_behind_seconds", Unit.SECONDS),
        gauge("Chats that wait", "dragoman_search_waiting_chats"),
        gauge("Documents", "dragoman_search_documents"),
        gauge("Size on disk", "dragoman_search_bytes", Unit.BYTES),
        gauge("Used of the disk", "dragoman_search_disk_used", Unit.SHARE),
        count("Commits of the index", "dragoman_search_commit_seconds"),
        percentiles("Time to commit the index", "dragoman_search_commit_seconds"),
    ),
    group(
        "Searches",
        percentiles("Time to find", "dragoman_search_find_seconds"),
        rate("Hits that had changed", "dragoman_search_stale_hits"),
    ),
    group(
        "Trouble",
        rate("Index not written", "dragoman_search_index_failures", bad=True),
        rate("Index rebuilt", "dragoman_search_rebuilds", bad=True),
    ),
    REQUESTS,
    REQUESTS_SENT,
    PROCESS,
)
