#!/bin/sh
# Upgrades a running installation of docker-compose.yml: permissions of the servers' users, databases and streams, then
# message, session, auth, the edges and search, each container once the one before it is healthy. If one but search is
# not, what was replaced goes back. The servers and the balancer stay: `docker compose up -d` replaces them.
# Usage: upgrade.sh TAG           of Dragoman's image
#        upgrade.sh --back TAG    of what ran before, edges first
# DRAGOMAN_STEP_SECONDS (120): the longest that a container may take to be healthy.
set -eu
cd "$(dirname "$0")/../.."

fail() { echo "upgrade.sh: $*" >&2; exit 1; }
report() { echo "$(date +%T) $*"; }
c() { docker compose --progress quiet "$@" < /dev/null; }
up() { c up --detach --no-deps --wait --wait-timeout "${DRAGOMAN_STEP_SECONDS:-120}" "$@"; }
# The services of these processes: message-1, message-2, session, say.
services() { for process in "$@"; do c config --services | grep -E "^$process(-|\$)" | sort; done; }

# Of session and auth there is one: a second one serves until Compose removes the older.
replace() {
    case $1 in session | auth) up --no-recreate --scale "$1=2" "$1" || return 1 ;; esac
    up "$1" || return 1
    case $1 in edge*) sleep 10 ;; esac # until the balancer has its address
}

# With this tag; users are served without search.
go() {
    export DRAGOMAN_VERSION="$1"
    shift
    for service in "$@"; do
        report "$service"
        replace "$service" || { c logs --tail 20 "$service" >&2; [ "$service" = search ] || return 1; }
        replaced="$service $replaced"
    done
}

# Users whose permissions have grown. The servers read them at their start: with an auth callout, NATS reloads none.
users() { c exec -T nats cksum /etc/nats/secrets/users.conf && c exec -T valkey cksum /secrets/users.acl; }
permissions() {
    known=$(users)
    c run --rm --no-deps -T secrets > /dev/null || return 1
    [ "$(users)" = "$known" ] || for server in nats valkey; do c restart $server && up $server || return 1; done
}

case " $* " in *" -h "* | *" --help "*) sed -n '2,8s/^# //p' deploy/compose/upgrade.sh; exit ;; esac
back="" replaced=""
case ${1:-} in --back) back=yes; shift ;; esac
case ${1:-} in "" | -*) sed -n '2,8s/^# //p' deploy/compose/upgrade.sh; exit 2 ;; esac
docker image inspect "dragoman:$1" > /dev/null 2>&1 || docker pull --quiet "dragoman:$1" > /dev/null 2>&1 ||
    fail "there is no image dragoman:$1: docker build --tag dragoman:$1 ."
before=$(c ps --format '{{.Image}}' "$(services edge | tail -n 1)") # the last to be replaced
[ -n "$before" ] || fail "no edge runs: \`docker compose up -d\` starts an installation"

if [ -n "$back" ]; then
    go "$1" $(services edge auth session message search) || fail "$service is not healthy"
else
    export DRAGOMAN_VERSION="$1"
    report "permissions of the servers' users"
    permissions || fail "they are not issued again; no service was replaced"
    report "databases and streams"
    c run --rm --no-deps -T migrate > /dev/null || fail "the migration has not succeeded; no service was replaced"
    go "$1" $(services message session auth edge search) || {
        failed=$service
        export DRAGOMAN_VERSION="${before#*:}"
        up "$failed" && go "$DRAGOMAN_VERSION" $replaced || fail "$service is not healthy after going back"
        fail "$failed was not healthy: went back to $before"
    }
fi
report "done: set DRAGOMAN_VERSION=$1 in .env, or the next \`docker compose up\` starts another"
