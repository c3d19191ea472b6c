#!/bin/sh
# Installs an overlay, or upgrades to it: databases, then message, session, auth, the edges and the dashboard, in turn.
# Waits at each step; if a step fails, what was replaced goes back. Changed settings and secrets arrive, too.
# Usage: upgrade.sh OVERLAY [TAG]     TAG of Dragoman's image, unless the overlay's own
#        upgrade.sh --back OVERLAY    to what ran before the last upgrade, edges first
#        upgrade.sh --check OVERLAY   whether the cluster can have it, whatever namespace and Secrets there are
# DRAGOMAN_STEP_SECONDS (600): the longest that a step may take.
set -eu

seconds=${DRAGOMAN_STEP_SECONDS:-600}
services="message session auth edge"
no_service='app.kubernetes.io/name notin (migrate, message, session, auth, edge, dashboard)'
progress=dragoman-upgrade # the ConfigMap with the revision of each Deployment before the last upgrade

fail() { echo "upgrade.sh: $*" >&2; exit 1; }
report() { echo "$(date +%T) $*"; }
k() { kubectl --namespace "$namespace" "$@"; }
revision() { k get deployment "$1" --ignore-not-found --output "jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}"; }
waited() { k rollout status "$1" --timeout "${seconds}s" > /dev/null; }

# Go back, edges first, wherever the revision is another than before.
back() {
    for service in dashboard edge auth session message; do
        before=$(k get configmap "$progress" --output "jsonpath={.data.$service}")
        [ -n "$before" ] && [ "$before" != "$(revision $service)" ] || continue
        report "$service goes back to revision $before"
        k rollout undo "deployment/$service" --to-revision "$before" > /dev/null
        k patch configmap "$progress" --patch "data: {$service: null}" > /dev/null # the revision has another number now
        waited "deployment/$service" || fail "$service is not ready after going back: kubectl describe pods"
    done
    k delete configmap "$progress" > /dev/null
}

by_cert_manager() { grep -q 'cert-manager.io/[a-z-]*issuer:' "$work/rendered.yaml"; }

# Secrets of the Ingress's certificates that nobody makes.
certificates() {
    by_cert_manager ||
        awk '/^kind: / { kind = $2 } kind == "Ingress" && /secretName: / { print $NF }' "$work/rendered.yaml"
}

# For awk: the kind and the name of the object that a line belongs to.
of_object='/^---/ { kind = name = "" }
    /^kind: / { kind = $2 }
    /^  name: / && name == "" { name = $2 }'

# Lines "kind workload secret" of the rendered manifests; " optional" follows if a pod starts without the secret.
secrets_in_use() {
    awk 'used != "" { print used ($1 == "optional:" && $2 == "true" ? " optional" : ""); used = "" }
        '"$of_object"'
        $1 == "secretName:" && kind != "Ingress" { print kind, name, $2 }
        /secret(Key)?Ref:$/ { inside = 1; next }
        inside && $1 == "name:" { used = kind " " name " " $2; inside = 0 }' "$work/rendered.yaml" | sort -u
}

# The name of Dragoman's image, which the overlay may have given a registry.
image() { awk '/^kind: / { kind = $2 } kind == "Job" && $1 == "image:" { sub("@.*", "", $2); sub(":[^:/]*$", "", $2); print $2; exit }' "$work/rendered.yaml"; }

# StatefulSets of the rendered manifests that replace a broken pod without waiting until it is ready.
parallel() {
    awk "$of_object"'
        kind == "StatefulSet" && /^  podManagementPolicy: Parallel$/ { print name }' "$work/rendered.yaml"
}

# Lines "Deployment minimum" of the autoscalers, also of KEDA.
autoscaled() {
    awk '/^---/ { scales = 0 }
        /^kind: (HorizontalPodAutoscaler|ScaledObject)$/ { scales = 1 }
        scales && /^  minReplica(s|Count): / { least = $2 }
        scales && /^    name: / { print $2, least }' "$work/rendered.yaml"
}

# Whether a version of this group of APIs answers. The program behind it may be away although the group is known.
serves() {
    for version in $(kubectl api-versions | grep "^$1/"); do
        ! kubectl get --raw "/apis/$version" > /dev/null 2>&1 || return 0
    done
    return 1
}

need() { serves "$1" || fail "$2 needs the API $1, which the cluster does not serve: install $3 first"; }

# Objects that wait for an extension are accepted without it: an Ingress has no certificate then, and an autoscaler no numbers.
check_extensions() {
    ! by_cert_manager || need cert-manager.io "the Ingress's annotation" cert-manager
    [ -z "$(autoscaled)" ] || need metrics.k8s.io autoscaling metrics-server
    ! grep -q '^kind: HorizontalPodAutoscaler$' "$work/rendered.yaml" || need custom.metrics.k8s.io autoscaling prometheus-adapter
}

# Values of edge.trusted_proxies, in the settings or of a variable.
trusted_proxies() { sed -n '/name: DRAGOMAN_EDGE__TRUSTED_PROXIES$/ { n; p; }; /DRAGOMAN_EDGE__TRUSTED_PROXIES:/ p' "$work/rendered.yaml"; }

check_proxies() {
    if grep -qE '^kind: (Ingress|HTTPRoute)$' "$work/rendered.yaml"; then
        trusted_proxies | grep -q '[0-9]' ||
            fail "name the networks of the Ingress's or Gateway's pods in DRAGOMAN_EDGE__TRUSTED_PROXIES (settings.yaml of the overlay), or all clients have one address"
    fi
    ! trusted_proxies | grep -q '/0\b' ||
        fail "DRAGOMAN_EDGE__TRUSTED_PROXIES has a network of all addresses, which lets each client forge its own"
}

check_cluster() {
    minor=$(kubectl version --output json 2> "$work/error" | sed -n '/"serverVersion"/,$ s/.*"minor": "\([0-9]*\).*/\1/p')
    [ -n "$minor" ] || fail "no cluster answers: $(tail -n 1 "$work/error")"
    [ "$minor" -ge 27 ] || fail "Kubernetes 1.$minor is too old: 1.27 or later is needed"
    if grep -qE '^  volumeClaimTemplates:|^kind: PersistentVolumeClaim' "$work/rendered.yaml" && ! grep -q 'storageClassName:' "$work/rendered.yaml"; then
        kubectl get storageclass --output yaml | grep -q 'is-default-class: "true"' ||
            fail "no storage class is the default: the overlay's volumes would wait for ever"
    fi
    if [ "$(grep -c 'port: 53$' "$work/rendered.yaml")" -le 2 ]; then # only base/network.yaml
        [ -n "$(kubectl --namespace kube-system get pods --selector k8s-app=kube-dns --output name)" ] ||
            fail "no pod k8s-app=kube-dns in kube-system resolves names: add a policy as components/network/node-local-dns"
    fi
    check_extensions
}

check_namespace() {
    kubectl get namespace "$namespace" > /dev/null 2>&1 ||
        fail "there is no namespace $namespace: kubectl apply --server-side -f $here/base/namespace.yaml"
    missing=""
    for secret in $(secrets_in_use | grep -v ' optional$' | cut -d' ' -f3 | sort -u); do
        k get secret "$secret" > /dev/null 2>&1 || missing="$missing $secret"
    done
    [ -z "$missing" ] || fail "Secrets are missing ($missing ): $here/secrets.sh $namespace DIRECTORY"
    for secret in $(certificates); do
        k get secret "$secret" > /dev/null 2>&1 ||
            fail "the Ingress's certificate is missing: kubectl --namespace $namespace create secret tls $secret --cert FILE --key FILE"
    done
    for secret in $(secrets_in_use | grep -oE 'dragoman-(nats|valkey|postgres)$' | sort -u); do
        k get secret "$secret" --output 'jsonpath={.data}' | grep -q '"server.crt"' || missing="$missing $secret"
    done
    [ -z "$missing" ] ||
        fail "Secrets have no certificates ($missing ): $here/secrets.sh $namespace DIRECTORY makes them (CHANGELOG.md)"
    ordered=""
    for server in $(parallel); do
        policy=$(k get statefulset "$server" --ignore-not-found --output 'jsonpath={.spec.podManagementPolicy}')
        [ "$policy" != OrderedReady ] || ordered="$ordered $server"
    done
    [ -z "$ordered" ] || # the field cannot change
        fail "StatefulSets are to be made anew, their pods stay: kubectl --namespace $namespace delete statefulset --cascade=orphan$ordered"
    k apply --server-side --force-conflicts --dry-run=server --selector 'app.kubernetes.io/name!=migrate' \
        --filename "$work/rendered.yaml" > /dev/null 2> "$work/error" ||
        fail "the cluster rejects the overlay, and nothing was applied: $(cat "$work/error")"
}

# The overlay with what only the cluster knows: hashes of its secrets, numbers that autoscalers have set.
complete() {
    {
        echo "resources: [../$(basename "$overlay")]"
        [ -z "$tag" ] || echo "images: [{name: \"$(image)\", newTag: \"$tag\"}]"
        echo "patches:"
        secrets_in_use | cut -d' ' -f1,2 | sort -u | grep -v 'Job ' | while read -r kind name; do
            hash=$(secrets_in_use | sed -n "s/^$kind $name //p" | while read -r secret _; do
                k get secret "$secret" --ignore-not-found --output 'jsonpath={.data}'
            done | cksum | cut -d' ' -f1)
            patch "$kind" "$name" "spec: {template: {metadata: {annotations: {dragoman/secrets: \"$hash\"}}}}"
        done
        autoscaled | while read -r name least; do
            present=$(k get deployment "$name" --ignore-not-found --output 'jsonpath={.spec.replicas}')
            [ "${present:-0}" -gt 0 ] || present=$least # no autoscaler begins at 0
            patch Deployment "$name" "spec: {replicas: $present}"
        done
    } > "$work/kustomization.yaml"
    kubectl kustomize "$work" > "$work/complete.yaml"
}

patch() { printf -- '- patch: |\n    {apiVersion: apps/v1, kind: %s, metadata: {name: %s}, %s}\n' "$1" "$2" "$3"; }

apply() { k apply --server-side --force-conflicts --filename "$work/complete.yaml" --selector "$1" > "$work/log" || fail "see above"; }

# Why a pod of the migration does not start, and the end of the log of the last one that failed.
show_migration() {
    k get pods --selector app.kubernetes.io/name=migrate \
        --output 'jsonpath={range .items[*].status.containerStatuses[*]}{.state.waiting.message}{"\n"}{end}' | sed '/^$/d' | sort -u >&2
    pod=$(k get pods --selector app.kubernetes.io/name=migrate --field-selector=status.phase=Failed \
        --sort-by=.metadata.creationTimestamp --output name | tail -n 1)
    [ -z "$pod" ] || k logs "$pod" --tail 20 >&2 || true
}

migrate() {
    k delete job migrate --ignore-not-found > /dev/null # a Job cannot change
    apply app.kubernetes.io/name=migrate
    began=$(date +%s) shown=0
    until
        state=$(k get job migrate --output 'jsonpath={.status.succeeded}|{.status.failed}|{.status.conditions[?(@.type=="Failed")].message}')
        failures=$(echo "$state" | cut -d'|' -f2) reason=$(echo "$state" | cut -d'|' -f3)
        [ "${state%%|*}" = 1 ]
    do
        [ -z "$reason" ] && [ $(($(date +%s) - began)) -lt "$seconds" ] || {
            show_migration
            fail "the migration has not succeeded ($reason); no service was replaced"
        }
        [ "${failures:-0}" -le "$shown" ] || {
            report "the migration failed, and is tried again:"
            show_migration
            shown=$failures
        }
        sleep 2
    done
}

going_back="" only_check=""
case ${1:-} in
    --back) going_back=yes; shift ;;
    --check) only_check=yes; shift ;;
esac
[ $# -ge 1 ] || { sed -n '2,8s/^# //p' "$0"; exit 2; }
here=$(dirname "$0") overlay=${1%/} tag=${2:-}
[ -f "$overlay/kustomization.yaml" ] || fail "$overlay is no overlay: it has no kustomization.yaml"
namespace=$(sed -n 's/^namespace: *//p' "$overlay/kustomization.yaml")
namespace=${namespace:-dragoman}

if [ -n "$going_back" ]; then
    k get configmap "$progress" > /dev/null 2>&1 || fail "nothing to go back to: no upgrade was made, or it went back already"
    back
    report "went back"
    exit
fi

work=$(mktemp -d "$overlay/../.upgrade.XXXXXX") # beside the overlay: Kustomize accepts only relative paths
trap 'rm -rf "$work"' EXIT
kubectl kustomize "$overlay" > "$work/rendered.yaml" || fail "$overlay cannot be rendered"
! grep -q 'app.kubernetes.io/name: dashboard$' "$work/rendered.yaml" || services="$services dashboard"
check_proxies
check_cluster
[ -z "$only_check" ] || exit 0
check_namespace
complete

set --
for service in $services; do
    before=$(revision "$service")
    [ -z "$before" ] || set -- "$@" "--from-literal=$service=$before"
done
k create configmap "$progress" "$@" --dry-run=client --output yaml | k apply --server-side --force-conflicts --filename - > /dev/null

report "servers and policies"
apply "$no_service"
for server in $(k get statefulsets --output name); do
    waited "$server" || fail "$server is not ready; no service was replaced"
done
report "databases and streams"
migrate
for service in $services; do
    report "$service"
    apply "app.kubernetes.io/name=$service"
    waited "deployment/$service" || {
        k get pods --selector "app.kubernetes.io/name=$service" >&2
        [ $# -gt 0 ] || fail "$service is not ready; there is nothing to go back to"
        back
        fail "$service was not ready within $seconds s: went back to what ran before"
    }
done
report "done; back again: $0 --back $overlay"
