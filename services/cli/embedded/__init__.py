"""The embedded servers of `dragoman up`: configuration, access control and command lines of NATS and Valkey."""
