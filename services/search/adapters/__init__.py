"""The adapters of search: the chat lists that the session service returns, and requests to the other services."""
