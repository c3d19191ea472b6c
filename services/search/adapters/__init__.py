"""The adapters of search: chat lists from session, and requests to message."""
