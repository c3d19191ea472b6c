"""The servers that `dragoman up` brings along: how nats-server and Valkey are configured, protected and started."""
