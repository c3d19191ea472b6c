#!/bin/sh
# The liveness of NATS. JetStream ends on a full disk, and works again only after a start of nats-server. Without room
# nats-server does not even start; until then it goes on without JetStream: messages and logins need it no less.
set -u
is_well() { wget -q -T 2 -O /dev/null "http://127.0.0.1:8222/healthz?$1=true"; }

is_well js-enabled-only && exit 0
is_well js-server-only || exit 1
dd if=/dev/zero of=/data/.room bs=1048576 count=1 2> /dev/null
full=$?
rm -f /data/.room
[ $full -ne 0 ]
