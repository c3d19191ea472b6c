"""Accounts and chats of a run, seeded into databases or registered. Begin with `plan.py`."""
