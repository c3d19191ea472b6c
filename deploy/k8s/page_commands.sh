#!/bin/sh
# Runs the commands that docs/operate prints for an installation on Kubernetes, on the one that end_to_end.sh has made:
# doctor in the pods, the dashboard, the operator's commands, a backup and its restore; and those of docs/runbooks. What
# users have sent since the backup is lost. Usage: page_commands.sh DIRECTORY OF SECRETS     in a checkout, after end_to_end.sh
# DRAGOMAN_VALUES: as of end_to_end.sh.
set -eu
cd "$(dirname "$0")/../.."
[ $# -eq 1 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
DIR=$1
values="--values deploy/k8s/dev.yaml --values deploy/k8s/test.yaml ${DRAGOMAN_VALUES:+--values $DRAGOMAN_VALUES}"
PATH=$PWD/.venv/bin:$PATH
kept=$(mktemp -d)
ann=ann$$ bob=bob$$ # new names in each run
forwards=""
end() { [ -z "$forwards" ] || kill $forwards 2> /dev/null || true; rm -rf "$kept"; }
trap end EXIT
say() { echo "page commands: $*"; }
fail() { say "$*" >&2; exit 1; }

# Runs a `kubectl port-forward` until the end, and waits until it listens. If another program has the port of 127.0.0.1,
# kubectl listens on [::1] alone, and says nothing else.
forward() {
    listens=$(mktemp "$kept/XXXXXX")
    "$@" > "$listens" 2>&1 &
    forwarded=$!
    forwards="$forwards $forwarded"
    for _ in $(seq 100); do
        ! grep -q 'Forwarding from 127.0.0.1:' "$listens" || return 0
        sleep 0.2
    done
    fail "$*: $(cat "$listens")"
}

# A block of the page, with the names of this installation.
printed() { deploy/printed_commands.sh "$1" "$2" | sed "s#--values deploy/k8s/dev.yaml#$values#; ${3:-}" > "$kept/block"; sh -eu "$kept/block"; }

# Types a line into a client; prints what it shows. The edge of the chat before may be gone.
chat() {
    forward kubectl -n dragoman port-forward service/test-edge 18080:8080
    echo "$1" | dragoman client ws://127.0.0.1:18080 --dialect native 2>&1 || true
    kill $forwarded
    wait $forwarded 2> /dev/null || true # its port is free
}

for name in auth session message edge; do
    kubectl -n dragoman exec deploy/$name -- dragoman doctor $name --config /secrets/dragoman.toml > "$kept/doctor" ||
        fail "doctor finds a fault in $name: $(cat "$kept/doctor")"
done
kubectl -n dragoman rollout status statefulset/search --timeout=180s > /dev/null || fail "search is not ready"
kubectl -n dragoman exec search-0 -- dragoman doctor search --config /secrets/dragoman.toml > "$kept/doctor" ||
    fail "doctor finds a fault in search: $(cat "$kept/doctor")"
say "doctor finds no fault in auth, session, message, edge and search"

pod=$(kubectl -n dragoman get pods --selector app.kubernetes.io/name=auth --output name | head -n 1)
forward kubectl -n dragoman port-forward "$pod" 9000
curl --fail --silent --noproxy '*' http://127.0.0.1:9000/readyz > /dev/null || fail "$pod is not ready"
kubectl -n dragoman exec "$pod" -- dragoman doctor auth --config /secrets/dragoman.toml > "$kept/doctor" || fail "$(cat "$kept/doctor")"
kubectl -n dragoman logs "$pod" --tail 50 > /dev/null
kubectl -n dragoman exec "$pod" -- sh -c 'kill 1' # its container starts again, and has a log before
for _ in $(seq 60); do
    ! kubectl -n dragoman logs "$pod" --previous > "$kept/log" 2>&1 || break
    sleep 1
done
[ -s "$kept/log" ] || fail "$pod has no log before"
kubectl -n dragoman describe "$pod" > "$kept/log"
grep -q 'Restart Count: *[1-9]' "$kept/log" || fail "$pod is not described: $(cat "$kept/log")"
kubectl -n dragoman exec nats-0 -- df /data > /dev/null
echo 'SELECT pid, pg_blocking_pids(pid), state, query FROM pg_stat_activity WHERE datname = current_database();' > "$kept/query"
kubectl -n dragoman exec -i postgres-0 -- psql --username postgres dragoman < "$kept/query" > "$kept/log"
grep -q 'pg_blocking_pids' "$kept/log" || fail "PostgreSQL does not say who waits for whom: $(cat "$kept/log")"
kubectl -n dragoman get cronjobs,jobs > "$kept/log"
grep -q 'cronjob.batch/dragoman-backup' "$kept/log" || fail "there is no CronJob"
kubectl -n dragoman delete "$pod" --grace-period=1 > /dev/null
kubectl -n dragoman rollout status deployment/auth --timeout=120s > /dev/null
kubectl -n dragoman scale deployment/auth --replicas=0 > /dev/null
kubectl -n dragoman wait --for=delete pod --selector app.kubernetes.io/name=auth --timeout=120s > /dev/null
kubectl -n dragoman get deployments,statefulsets | grep -q '^deployment.apps/auth *0/0 ' || fail "auth was not scaled away"
deploy/k8s/upgrade.sh dragoman dragoman $values > /dev/null
[ "$(kubectl -n dragoman get deployment auth --output 'jsonpath={.status.readyReplicas}')" = 2 ] || fail "auth did not come back"
say "the table of the runbooks works: a pod was ended at once, and a service that was scaled away came back"

# Until all pods of a StatefulSet are ready, and those of Dragoman again.
await() {
    kubectl -n dragoman rollout status "statefulset/$1" --timeout=180s > /dev/null || fail "$1 does not come back"
    for name in auth session message edge; do
        kubectl -n dragoman rollout status deployment/$name --timeout=180s > /dev/null || fail "$name does not come back"
    done
}
kubectl -n dragoman logs nats-0 --tail 50 > /dev/null
kubectl -n dragoman delete pod nats-0 > /dev/null
await nats
kubectl -n dragoman delete pod nats-0 --grace-period=1 > /dev/null
await nats
kubectl -n dragoman rollout restart statefulset/nats > /dev/null
await nats
kubectl -n dragoman delete pod postgres-0 > /dev/null
await postgres
say "the pods of the servers were ended, at once and in order, and came back"

kubectl -n dragoman exec nats-2 -- sh -c 'kill 1' # its container starts again, and has a log before
for _ in $(seq 60); do
    ! printed "A pod of a server does not start" 1 > "$kept/log" 2>&1 || break
    sleep 1
done
grep -q "^Name: *nats-2" "$kept/log" || fail "nats-2 is not described: $(cat "$kept/log")"
grep -q "Server Exiting" "$kept/log" || fail "its log before is not shown: $(tail -n 5 "$kept/log")"
await nats
say "a pod that has started again is described, with its log before"

forward kubectl -n dragoman port-forward service/dashboard 8090
curl --fail --silent --noproxy '*' http://127.0.0.1:8090/ | grep -q '<title' || fail "the dashboard does not answer"
say "the dashboard answers"

chat "/register $ann orange" | grep -q "you are user" || fail "ann cannot register"
forward kubectl -n dragoman port-forward svc/nats 4222
dragoman admin user find "$ann" --config "$DIR/admin/dragoman.toml" --set nats.url=nats://127.0.0.1:4222 ||
    fail "the operator does not find ann"

say "a backup"
printed "On Kubernetes" 1 > "$kept/log" 2>&1 || fail "no backup: $(cat "$kept/log")"
backup=$(kubectl -n dragoman logs job/backup-now | sed -n 's#.*backed up to /backups/##p')
say "made $backup"
chat "/register $bob orange" | grep -q "you are user" || fail "bob cannot register"

say "its restore"
printed "On Kubernetes" 2 "s/RESTORE=[0-9TZ-]*/RESTORE=$backup/" > "$kept/log" 2>&1 || fail "not restored: $(cat "$kept/log")"
chat "/login $ann orange" | grep -q "you are user" || fail "ann was in the backup"
chat "/login $bob orange" | grep -q "login rejected" || fail "bob came after the backup"
kubectl -n dragoman delete job backup-now restore > /dev/null
say "all of the commands work"
