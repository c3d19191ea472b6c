"""Order, storage, fan-out, history and read state of messages. Begin with service/posting.py; app.py wires it."""
