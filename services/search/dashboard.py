"""The dashboard of search."""

from shared.dashboard import panels

DASHBOARD = panels.dashboard(
    "search",
    panels.group(
        "The index",
        panels.rate("Indexed", "dragoman_search_indexed"),
        panels.gauge("Behind by", "dragoman_search_behind_seconds", panels.Unit.SECONDS),
        panels.gauge("Chats that wait", "dragoman_search_waiting_chats"),
        panels.gauge("Documents", "dragoman_search_documents"),
        panels.gauge("Size on disk", "dragoman_search_bytes", panels.Unit.BYTES),
        panels.gauge("Used of the disk", "dragoman_search_disk_used", panels.Unit.SHARE),
        panels.count("Commits of the index", "dragoman_search_commit_seconds"),
        panels.percentiles("Time to commit the index", "dragoman_search_commit_seconds"),
    ),
    panels.group(
        "Searches",
        panels.percentiles("Time to find", "dragoman_search_find_seconds"),
        panels.rate("Hits that had changed", "dragoman_search_stale_hits"),
    ),
    panels.group(
        "Trouble",
        panels.rate("Index not written", "dragoman_search_index_failures", bad=True),
        panels.rate("Index rebuilt", "dragoman_search_rebuilds", bad=True),
    ),
    panels.REQUESTS,
    panels.REQUESTS_SENT,
    panels.PROCESS,
)
