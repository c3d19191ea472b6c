"""Order, storage, fan-out, history, unread counts, drafts. Begin with service/posting.py; app.py wires it."""
