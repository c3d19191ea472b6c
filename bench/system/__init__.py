"""The measured system: processes and databases, accounts and chats. Begin with `system.py`."""
