"""Orders, stores and delivers messages; answers requests for history, unread counts and drafts. Begin with
service/posting.py."""
