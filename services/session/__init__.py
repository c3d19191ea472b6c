"""Profiles, friendships, chats, members. The floor plan is in docs/architecture.md."""
