"""The measured system: its processes and databases, its accounts and chats. Begin with `system.py`."""
