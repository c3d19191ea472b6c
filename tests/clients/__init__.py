"""Independent clients, one for each dialect, written from the dialect's document."""
