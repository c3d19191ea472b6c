"""What an account missed, read at its login. Begin with backlog.py."""
