"""Records frames of one account or dialect for an operator, with their secrets masked. Begin with recorder.py."""
