"""Orders, stores and delivers messages. Answers requests for history, unread counts and drafts. Begin with
service/posting.py."""
