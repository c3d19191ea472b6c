"""Tests of both clients, in JavaScript and Python: hostile replies, and a soak."""
