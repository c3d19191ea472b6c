"""Tests both client libraries (JavaScript, Python) with wrong server replies, and in a soak."""
