"""The adapters of search: the chat lists that session returns, and requests to the other services."""
