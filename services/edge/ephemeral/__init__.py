"""What is shown at once or never: typing, watched presence, reads. Begin with hub.py."""
