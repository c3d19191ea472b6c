"""One connection: socket, inbox, posts, outbox and login. Begin with client.py."""
