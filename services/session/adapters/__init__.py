"""What session's use cases need from outside: auth, message, edges, presence. Begin with `edge_notifier.py`."""
