"""One independent client for each dialect, written from its document."""
