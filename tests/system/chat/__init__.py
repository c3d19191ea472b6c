"""The web client in a browser: each test is a point that users of chat clients ask for."""
