"""The adapters of the session service: requests to the auth and message services, events to edges, presence. Begin with
`edge_notifier.py`."""
