#!/bin/sh
# Upgrades a running installation of docker-compose.yml: rights of the servers' users, databases and streams, then
# message, session, auth, the edges and search, one container after the other. Waits for each; if one but search is not
# healthy in time, what was replaced goes back. The servers and the balancer stay: `docker compose up -d` replaces them.
# Usage: upgrade.sh [TAG]     TAG of Dragoman's image, unless the one that .env or docker-compose.yml names
#        upgrade.sh --back    to what ran before the last upgrade, edges first
# DRAGOMAN_STEP_SECONDS (120): the longest that a container may take to be healthy.
set -eu
cd "$(dirname "$0")/../.."
seconds=${DRAGOMAN_STEP_SECONDS:-120}
label=com.docker.compose

fail() { echo "upgrade.sh: $*" >&2; exit 1; }
report() { echo "$(date +%T) $*"; }
c() { $compose "$@" < /dev/null; }
# Without the output of a command that succeeds.
quietly() { "$@" > "$log" 2>&1 || { cat "$log" >&2; return 1; }; }

# The image that this file and DRAGOMAN_VERSION name.
image() { c config | awk '/^  [a-z]/ { service = $1 } service == "auth:" && $1 == "image:" { print $2; exit }'; }
id_of() { docker image inspect --format '{{.Id}}' "$1" 2> /dev/null; }
# Those of message, say: message-1, message-2.
containers() { echo "$services" | grep -E "^$1(-|\$)" | sort; }
# Its ID. Not by Compose, whose older version takes a second.
container() {
    set -- project="$project" service="$1" oneoff=False
    docker ps --all --quiet --filter "label=$label.$1" --filter "label=$label.$2" --filter "label=$label.$3"
}
# The ID of the image that a service runs.
runs() { docker inspect --format '{{.Image}}' "$(container "$1")" 2> /dev/null || true; }

is_healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1" 2> /dev/null)" = healthy ]; }
# The balancer finds the address of a new edge some seconds later. Until then the next edge stays.
is_balanced() {
    docker exec "$(container balancer)" wget -q -O - http://127.0.0.1:8405/metrics 2> /dev/null |
        grep -q "^haproxy_server_status{.*server=\"$1\",state=\"UP\"} 1"
}
await() {
    deadline=$(($(date +%s) + seconds))
    until "$@"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 1
    done
}

standby() { echo "$project-standby-$1"; }
without_standby() { docker rm --force "$(standby session)" "$(standby auth)" > "$log" 2>&1 || true; }

# stop_grace_period; and not by `docker compose rm`, which may end the other one as well.
end() { docker stop -t 40 "$1" > /dev/null && docker rm "$1" > /dev/null; }

# The container of before ends first: an edge has a name that only one may have. Of session and auth there is one, and a
# second one serves meanwhile. Not by `up` alone: Compose 1.29 cannot replace a container of Docker 25 or later.
replace() {
    report "$1"
    case $1 in session | auth)
        without_standby
        quietly c run --detach --no-deps --name "$(standby "$1")" "$1" && await is_healthy "$(standby "$1")" || return 1 ;;
    esac
    for ended in $(container "$1"); do end "$ended"; done
    quietly c up -d --no-deps "$1" && await is_healthy "$(container "$1")" || return 1
    case $1 in
        edge*) await is_balanced "$1" ;;
        session | auth) end "$(standby "$1")" ;;
    esac
}

# What containers that are not healthy wrote last.
show_ill() {
    for one in "$@"; do
        ! docker inspect "$one" > /dev/null 2>&1 || is_healthy "$one" || docker logs --tail 20 "$one" >&2
    done
}

# Without search, users are served.
replace_search() {
    for service in $(containers search); do
        [ "$(runs "$service")" = "$1" ] || replace "$service" || report "$service is not healthy: $compose logs $service"
    done
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
    replace_search "$(id_of "$kept")"
    report "went back to $name:$DRAGOMAN_VERSION"
    advise
}
advise() {
    [ "$named" = "$(image)" ] ||
        report "set DRAGOMAN_VERSION=$DRAGOMAN_VERSION in .env, or the next \`docker compose up\` starts $named"
}

access() { docker exec "$(container valkey)" cksum /secrets/users.acl; }
# Users whose rights have grown. NATS reads them at a signal, Valkey at its start.
rights() {
    before=$(access)
    quietly c run --rm --no-deps -T secrets && quietly c kill -s HUP nats || return 1
    [ "$(access)" != "$before" ] || return 0
    quietly c restart valkey && await is_healthy "$(container valkey)"
}

case ${1:-} in --back) ;; -*) sed -n '2,7s/^# //p' deploy/compose/upgrade.sh; exit 2 ;; esac
docker info > /dev/null 2>&1 || fail "no Docker daemon answers"
if docker compose version > /dev/null 2>&1; then compose="docker compose"
elif command -v docker-compose > /dev/null; then compose=docker-compose
else fail "there is no Docker Compose"; fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

named=$(image) services=$(c config --services)
project=$(c ps -q | head -n 1 | xargs -r docker inspect --format "{{index .Config.Labels \"$label.project\"}}")
[ -n "$project" ] || fail "nothing runs: \`docker compose up -d\` starts an installation"
trap 'without_standby; rm -f "$log"' EXIT
last=$(containers edge | tail -n 1) # replaced last: it runs what ran before an upgrade that was interrupted
running=$(runs "$last")
[ -n "$running" ] || fail "$last does not run: \`docker compose up -d\` starts it"
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
        show_ill "$(container "$service")" "$(standby "$service")"
        [ "$running" != "$wanted" ] || fail "$service was not healthy within $seconds s"
        failed=$service
        back
        fail "$failed was not healthy within $seconds s: went back to what ran before"
    }
done
replace_search "$wanted"
report "done; back again: deploy/compose/upgrade.sh --back"
advise
