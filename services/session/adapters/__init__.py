"""The adapters of session: requests to auth and message, events to edges, presence. Begin with `edge_notifier.py`."""
