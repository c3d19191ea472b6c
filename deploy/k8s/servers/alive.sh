#!/bin/sh
# The liveness of NATS. JetStream ends on a full disk, and works again only after a start of nats-server. Without room
# nats-server does not even start; until then it goes on without JetStream: messages and logins need it no less. When all
# disks have room again, the servers start one after the other: each waits for two checks longer than the one before.
set -u
roomy=/tmp/roomy # a line for each check in a row that found room, but no JetStream
is_well() { wget -q -T 2 -O /dev/null "http://127.0.0.1:8222/healthz?$1=true"; }
has_room() { dd if=/dev/zero of=/data/.room bs=1048576 count=1 2> /dev/null; }

if is_well js-enabled-only; then
  rm -f $roomy
  exit 0
fi
is_well js-server-only || exit 1
if has_room; then echo >> $roomy; else : > $roomy; fi
rm -f /data/.room
[ "$(wc -l < $roomy)" -le $((2 * ${POD_NAME##*-})) ]
