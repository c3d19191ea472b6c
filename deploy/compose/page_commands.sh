#!/bin/sh
# Runs the commands that docs/operate prints for Compose, on the project that end_to_end.sh has started: the dashboard,
# the operator's commands, backups and a restore, an upgrade and the way back, with TLS another certificate, and the commands
# of docs/runbooks, that of Prometheus where it runs. Usage: end_to_end.sh [--tls] [--dashboards] --commands
set -eu
cd "$(dirname "$0")/../.."
edges=$1 # ws:// or wss://, host and port
kept=$(mktemp -d)
dashboard=""
end() { docker rm --force dragoman > /dev/null 2>&1; [ -z "$dashboard" ] || kill "$dashboard" 2> /dev/null || true; rm -rf "$kept"; }
trap end EXIT
say() { echo "page commands: $*"; }
fail() { say "$*: $(cat "$kept/log")" >&2; exit 1; }

# A block of the page, as Compose is called here.
printed() {
    deploy/printed_commands.sh "$1" "$2" | sed "s/run --rm/run --rm -T/; ${3:-}" > "$kept/block"
    sh -eu "$kept/block" > "$kept/log" 2>&1
}
chat() { { for line; do echo "$line"; sleep 2; done; } | .venv/bin/dragoman client "$edges" --dialect native 2>&1 || true; }
certificate() { openssl s_client -connect "${edges#wss://}" < /dev/null 2> /dev/null | openssl x509 -noout -serial; }
# Until a command succeeds, for at most a minute.
await() {
    for _ in $(seq 60); do
        ! "$@" > "$kept/log" 2>&1 || return 0
        sleep 1
    done
    fail "in vain: $*"
}
is_ready() { docker logs dragoman 2>&1 | grep "ready ws://"; }
is_ann() { chat "/login ann orange" | grep "you are user"; }

say "the dashboard"
(printed "The dashboard" 1) &
dashboard=$!
await curl --fail --silent --noproxy '*' http://127.0.0.1:8090/
docker stop --time 2 $(docker ps --quiet --filter publish=8090) > /dev/null
chat "/register ann orange" > "$kept/log"
grep -q "you are user" "$kept/log" || fail "ann cannot register"
docker compose run --rm -T operator admin user find ann --config /secrets/admin/dragoman.toml > "$kept/log" 2>&1 || fail "no ann"
docker compose run --rm -T secrets admin keys list --set auth.keys=/secrets/keys > "$kept/log" 2>&1 || fail "no keys"

say "the commands of the runbooks"
# Succeeds, and prints this.
shows() {
    wanted=$1
    shift
    "$@" > "$kept/log" 2>&1 && grep -q "$wanted" "$kept/log" || fail "not $wanted: $*"
}
shows edge-2 docker compose run --rm -T operator top --once http://auth:9000 http://session:9000 http://message-1:9000 http://message-2:9000 http://search:9000 http://edge-1:9000 http://edge-2:9000
shows 'exactly its own permissions' docker compose exec -T auth dragoman doctor auth --config /secrets/auth/dragoman.toml
shows 'can be written' docker compose exec -T edge-1 dragoman doctor edge --config /secrets/edge/dragoman.toml
shows 'Server is ready' docker compose logs --tail 50 nats
docker compose pause nats > "$kept/log" 2>&1 || fail "NATS is not paused"
shows '[Pp]aused' docker compose ps --all nats
docker compose unpause nats > "$kept/log" 2>&1 || fail "NATS is not woken"
docker compose restart nats > "$kept/log" 2>&1 || fail "NATS is not restarted"
docker compose kill nats > "$kept/log" 2>&1 && docker compose start nats > "$kept/log" 2>&1 || fail "NATS is not started"
shows Mounted docker compose exec -T nats df /data
echo 'SELECT pid, pg_blocking_pids(pid), state, query FROM pg_stat_activity WHERE datname = current_database()' > "$kept/query"
docker compose exec -T postgres psql --username postgres dragoman < "$kept/query" > "$kept/log" 2>&1 || fail "PostgreSQL is not queried"
grep -q pg_blocking_pids "$kept/log" || fail "PostgreSQL does not say who waits for whom"
docker compose run --rm -T secrets > "$kept/log" 2>&1 || fail "the users are not written again"
shows false docker inspect --format '{{.State.OOMKilled}}' $(docker compose ps --quiet auth)
shows balancer docker compose ps balancer
docker compose restart balancer > "$kept/log" 2>&1 || fail "the balancer is not restarted"
if [ -n "$(docker compose --profile dashboards ps -q prometheus)" ]; then
    shows '=> 1' docker compose exec -T prometheus promtool query instant http://127.0.0.1:9090 'up == 1'
    docker compose exec -T prometheus promtool query instant http://127.0.0.1:9090 'up == 0' > "$kept/log" 2>&1 || fail "Prometheus is not queried"
    docker compose logs --tail 50 alertmanager > "$kept/log" 2>&1 || fail "Alertmanager has no log"
fi
await is_ann

say "a backup"
printed "Backups with Compose" 1 || fail "no backup"
backup=$(sed -n 's#.*backed up to /backups/##p' "$kept/log")
chat "/register bob orange" > "$kept/log"
grep -q "you are user" "$kept/log" || fail "bob cannot register"

say "the restore of $backup"
printed "Backups with Compose" 2 "s/RESTORE=[0-9TZ-]*/RESTORE=$backup/" || fail "not restored"
await is_ann
! chat "/login bob orange" | grep -q "you are user" || fail "bob came after the backup"
docker compose --profile backup up -d > "$kept/log" 2>&1 || fail "no backups each night"
shows backup docker compose ps backup
docker compose logs backup > "$kept/log" 2>&1 || fail "the container of backups has no log"

case $edges in
wss:*)
    say "another certificate"
    before=$(certificate)
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$kept/key.pem" -out "$kept/certificate.pem" 2> /dev/null
    cat "$kept/certificate.pem" "$kept/key.pem" > "$kept/new.pem"
    printed "Another certificate" 1 "s#new.pem#$kept/new.pem#" || fail "no other certificate"
    for _ in $(seq 20); do [ "$(certificate)" = "$before" ] || break; sleep 0.5; done
    [ "$(certificate)" != "$before" ] || fail "the balancer has its former certificate"
    ;;
esac
say "an upgrade and the way back"
printed "Upgrade with Compose" 1 "s/ -t / --network host --build-arg VERSION=0.1.1 -t /" || fail "not upgraded and taken back"
[ "$(grep -c "done: set DRAGOMAN_VERSION" "$kept/log")" = 2 ] || fail "not both"
await is_ann
say "everything in one container"
docker run --rm dragoman:0.1.0 --version > "$kept/log" 2>&1 || fail "no version"
# Here they have no terminal, and a build has the host's network, as that of end_to_end.sh, whose layers it finds.
deploy/printed_commands.sh "Installing it" 2 |
    sed '/^docker build/s/ -t / --network host -t /; /^docker run/s/ -it / -d /; /^docker exec/s/ -it / -i /' > "$kept/lines"
sh -eu -c "$(sed -n 1p "$kept/lines")" > "$kept/log" 2>&1 || fail "it is not built"
sh -eu -c "$(sed -n 2p "$kept/lines")" > "$kept/log" 2>&1 || fail "it does not start"
await is_ready
echo "/register cat@example.com orange" | sh -eu -c "$(sed -n 3p "$kept/lines")" > "$kept/log" 2>&1
grep -q "you are user" "$kept/log" || fail "cat cannot register"
docker stop dragoman > /dev/null
await docker volume rm dragoman # Docker removes the stopped container meanwhile
say "all of the commands work"
