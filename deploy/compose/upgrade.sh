#!/bin/sh
# Upgrades a running installation of docker-compose.yml: rights of the servers' users, databases and streams, then
# message, session, auth and the edges, one container after the other. Waits for each; if one is not healthy in time, what
# was replaced goes back. The servers and the balancer stay: `docker compose up -d` replaces them.
# Usage: upgrade.sh [TAG]     TAG of Dragoman's image, unless the one that .env or docker-compose.yml names
#        upgrade.sh --back    to what ran before the last upgrade, edges first
# DRAGOMAN_STEP_SECONDS (120): the longest that a container may take to be healthy.
set -eu
cd "$(dirname "$0")/../.."
seconds=${DRAGOMAN_STEP_SECONDS:-120}

fail() { echo "upgrade.sh: $*" >&2; exit 1; }
report() { echo "$(date +%T) $*"; }
c() { $compose "$@" < /dev/null; }
# Without the output of a command that succeeds.
quietly() { "$@" > "$log" 2>&1 || { cat "$log" >&2; return 1; }; }

# The image that this file and DRAGOMAN_VERSION name.
image() { c config | awk '/^  [a-z]/ { service = $1 } service == "auth:" && $1 == "image:" { print $2; exit }'; }
id_of() { docker image inspect --format '{{.Id}}' "$1" 2> /dev/null; }
# Containers of message, say: message-1, message-2.
containers() { c config --services | grep -E "^$1(-|\$)" | sort; }
container() { c ps -q "$1"; }
# The ID of the image that a service runs.
runs() { docker inspect --format '{{.Image}}' "$(container "$1")" 2> /dev/null || true; }

is_healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")" 2> /dev/null)" = healthy ]; }
# The balancer finds the address of a new container some seconds later. Until then the next edge stays.
is_served() {
    is_healthy "$1" || return 1
    case $1 in edge*) ;; *) return 0 ;; esac
    c exec -T balancer wget -q -O - http://127.0.0.1:8405/metrics 2> /dev/null |
        grep -q "^haproxy_server_status{.*server=\"$1\",state=\"UP\"} 1"
}
waited() {
    deadline=$(($(date +%s) + seconds))
    until is_served "$1"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

# Not by `up` alone: Compose 1.29 cannot replace a container of Docker 25 or later.
replace() {
    report "$1"
    quietly c rm --stop --force "$1" && quietly c up -d --no-deps "$1" && waited "$1"
}

# The image of before has a tag of its own: its first one may have become another image.
back() {
    name=${image%:*}
    DRAGOMAN_VERSION=$(docker image inspect --format '{{range .RepoTags}}{{println .}}{{end}}' "$kept" |
        sed -n "s#^$name:##p" | grep -v '^before-' | head -n 1)
    export DRAGOMAN_VERSION="${DRAGOMAN_VERSION:-${kept##*:}}"
    for service in $(containers edge) $(containers auth) $(containers session) $(containers message); do
        [ "$(runs "$service")" != "$(id_of "$kept")" ] || continue
        replace "$service" || fail "$service is not healthy after going back: $compose logs $service"
    done
    report "went back to $name:$DRAGOMAN_VERSION"
    advise
}
advise() {
    [ "$named" = "$(image)" ] ||
        report "set DRAGOMAN_VERSION=$DRAGOMAN_VERSION in .env, or the next \`docker compose up\` starts $named"
}

# Users whose rights have grown. NATS reads them at a signal, Valkey at its start.
rights() {
    before=$(c exec -T valkey cksum /secrets/users.acl)
    quietly c run --rm --no-deps -T secrets && quietly c kill -s HUP nats || return 1
    [ "$(c exec -T valkey cksum /secrets/users.acl)" != "$before" ] || return 0
    quietly c restart valkey && waited valkey
}

case ${1:-} in --back) ;; -*) sed -n '2,7s/^# //p' deploy/compose/upgrade.sh; exit 2 ;; esac
docker info > /dev/null 2>&1 || fail "no Docker daemon answers"
if docker compose version > /dev/null 2>&1; then compose="docker compose"
elif command -v docker-compose > /dev/null; then compose=docker-compose
else fail "there is no Docker Compose"; fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

named=$(image)
last=$(containers edge | tail -n 1) # replaced last: it runs what ran before an upgrade that was interrupted
running=$(runs "$last")
[ -n "$running" ] || fail "$last does not run: \`docker compose up -d\` starts an installation"
project=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.project"}}' "$(container "$last")")
image=$named kept=${named%:*}:before-$project

if [ "${1:-}" = --back ]; then
    id_of "$kept" > /dev/null || fail "nothing to go back to: no upgrade was made"
    back
    exit
fi
[ $# -eq 0 ] || export DRAGOMAN_VERSION="$1"
image=$(image) DRAGOMAN_VERSION=${image##*:}
wanted=$(id_of "$image") || quietly docker pull --quiet "$image" && wanted=$(id_of "$image") ||
    fail "there is no image $image: docker build --tag $image ."
[ "$running" = "$wanted" ] || docker tag "$running" "$kept"

report "rights of the servers' users"
rights || fail "they are not issued anew; no service was replaced"
report "databases and streams"
quietly c run --rm --no-deps -T migrate || fail "the migration has not succeeded; no service was replaced"
for service in $(containers message) $(containers session) $(containers auth) $(containers edge); do
    [ "$(runs "$service")" != "$wanted" ] || continue
    replace "$service" || {
        c logs --tail 20 "$service" >&2
        [ "$running" != "$wanted" ] || fail "$service was not healthy within $seconds s"
        failed=$service
        back
        fail "$failed was not healthy within $seconds s: went back to what ran before"
    }
done
report "done; back again: deploy/compose/upgrade.sh --back"
advise
