"""Profiles, friends, chats, members, bans, and webhooks with their sending. Begin with app.py."""
