#!/bin/sh
# Installs a release of the chart, or upgrades it in order: the migration, then message, session, auth, the edges and the
# dashboard. Helm changes the Deployments while they are paused, and each goes on once the one before it is ready. If one is
# not ready in time, the release goes back, edges first. An interruption leaves Deployments paused: run it again.
# Usage: upgrade.sh NAMESPACE RELEASE [options of `helm upgrade`]
#        upgrade.sh --back NAMESPACE RELEASE [REVISION]     to the revision before, unless another is given
# DRAGOMAN_STEP_SECONDS (600): the longest that a step may take.
set -eu

seconds=${DRAGOMAN_STEP_SECONDS:-600}

fail() { echo "upgrade.sh: $*" >&2; exit 1; }
report() { echo "$(date +%T) $*"; }
k() { kubectl --namespace "$namespace" "$@"; }
h() { helm "$@" --namespace "$namespace" --timeout "${seconds}s" > /dev/null; }
deployments() { k get deployments --selector app.kubernetes.io/part-of=dragoman --output 'jsonpath={.items[*].metadata.name}'; }
# Helm leaves `paused` as it is: the chart does not have it.
paused() { k patch deployment "$1" --patch "spec: {paused: $2}" > /dev/null; }
all_paused() { for one in $(deployments); do paused "$one" "$1"; done; }

# Lets Deployments go on, one after the other.
go_on() {
    for service in "$@"; do
        case " $(deployments) " in *" $service "*) ;; *) continue ;; esac
        report "$service"
        paused "$service" false
        k rollout status "deployment/$service" --timeout "${seconds}s" > /dev/null || return 1
    done
}

# A Deployment that has not gone on yet gets back what it still runs.
back() {
    all_paused true
    h rollback "$release" "$1" || fail "Helm cannot go back, and the Deployments are paused: helm history $release"
    go_on dashboard edge auth session message || fail "$service is not ready after going back: kubectl describe pods"
}

case " $* " in *" -h "* | *" --help "*) sed -n '2,7s/^# //p' "$0"; exit ;; esac
going_back=""
case ${1:-} in --back) going_back=yes; shift ;; esac
[ $# -ge 2 ] || { sed -n '2,7s/^# //p' "$0"; exit 2; }
namespace=$1 release=$2 chart=$(dirname "$0")/../helm/dragoman
shift 2

if [ -n "$going_back" ]; then
    back "${1:-0}"
    report "went back"
    exit
fi

before=$(helm history "$release" --namespace "$namespace" --output yaml 2> /dev/null |
    awk '$1 == "revision:" { found = $2 } $1 == "status:" && $2 == "deployed" { print found }')
h upgrade "$release" "$chart" --install --dry-run=server "$@" || fail "nothing was changed"
# Nothing waits for search.
for server in $(k get statefulsets --selector 'app.kubernetes.io/name!=search' --output name); do
    k rollout status "$server" --timeout "${seconds}s" > /dev/null || fail "$server is not ready; nothing was changed"
done
all_paused true
report "databases and streams"
h upgrade "$release" "$chart" --install "$@" || {
    k logs job/migrate --tail 20 >&2 || true
    [ -n "$before" ] && back "$before" || all_paused false
    fail "no service was replaced"
}
go_on message session auth edge dashboard || {
    k get pods --selector "app.kubernetes.io/name=$service" >&2
    failed=$service
    [ -n "$before" ] || fail "$failed is not ready; there is no revision to go back to, and later Deployments are paused"
    back "$before"
    fail "$failed was not ready within $seconds s: went back to revision $before"
}
report "done; back again: $0 --back $namespace $release"
