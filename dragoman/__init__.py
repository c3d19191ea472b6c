"""The command line, above everything else: `main.py` holds the command `dragoman`. Begin there."""
