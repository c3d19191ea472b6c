"""Tests of the web client in a browser. Each test is about a point that users of chat clients ask for."""
