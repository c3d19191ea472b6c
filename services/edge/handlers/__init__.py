"""Handles the clients' commands. Each handler handles one kind of command and makes the reply. Begin with
`dispatcher.py`."""
