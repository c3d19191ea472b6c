"""The adapter of search: the chat lists that the session service returns."""
