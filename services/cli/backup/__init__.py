"""`dragoman backup` and `restore`. Begin with `archive.py`, which describes a backup."""
