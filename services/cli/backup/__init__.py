"""`dragoman backup` and `restore`. Begin with `archive.py`, which says what a backup is."""
