"""One connection: its socket, inbox, posts and outbox, and what is known of its login. Begin with client.py."""
