#!/bin/sh
# Tries Dragoman on the cluster that kubectl reaches: installs the servers and the chart in the namespace `dragoman`, and lets
# users chat through the Service while pods are restarted, killed, frozen, drained, scaled and upgraded, and volumes of at most
# 2 GiB are full. Prints waits, losses and the result (exit status 0: passed, 1: failed, 2: inconclusive). For a cluster
# of one's own: it evicts a node's pods, and freezes by a privileged pod in the namespace `dragoman-freezers`.
# Usage: end_to_end.sh [DIRECTORY OF SECRETS [SECOND TAG OF THE IMAGE [STEP …]]]     in a checkout, after ./dev setup
# STEP: a name as the table shows it, or NAME=COMMAND: then your commands are the steps.
# The nodes need the image dragoman:0.1.0: `docker build -t dragoman:0.1.0 .`, then `kind load docker-image …`,
# `minikube image load …` or `k3s ctr images import …`. With a second tag of it, the upgrade is to this tag.
# DRAGOMAN_PROMETHEUS: address of a Prometheus with the rules and targets of the value monitoring.enabled. Then each part is also
# taken away until an alert fires, a freeze and a full volume last until one does, and the table names the alerts.
# DRAGOMAN_VALUES: a file of values of the chart, after dev.yaml and test.yaml. DRAGOMAN_EDGES: the address (wss://…) of its
# Ingress or Gateway, through which the users chat; edges must trust it (edge.trusted_proxies).
# Afterwards: kubectl delete namespace dragoman
set -eu
case ${1:-} in -h | --help) sed -n '2,14s/^# //p' "$0"; exit ;; esac
cd "$(dirname "$0")/../.."
secrets=${1:-${TMPDIR:-/tmp}/dragoman-test-secrets}
tag=${2:-}
[ $# -lt 2 ] && shift $# || shift 2
PATH=$PWD/.venv/bin:$PATH

[ -x .venv/bin/dragoman ] || { echo "end_to_end.sh: there is no .venv: run ./dev setup first" >&2; exit 2; }
command -v kubectl > /dev/null || { echo "end_to_end.sh: there is no kubectl" >&2; exit 2; }
kubectl get nodes > /dev/null 2>&1 ||
    { echo "end_to_end.sh: kubectl reaches no cluster; start one (kind create cluster, minikube start, k3s server)" >&2; exit 2; }
command -v helm > /dev/null || { echo "end_to_end.sh: there is no helm" >&2; exit 2; }
kubectl get storageclass --output yaml | grep -q 'is-default-class: "true"' ||
    { echo "end_to_end.sh: no storage class is the default: the servers' volumes would wait for ever" >&2; exit 2; }

kubectl apply --server-side --filename deploy/k8s/namespace.yaml > /dev/null
deploy/k8s/secrets.sh dragoman "$secrets" > /dev/null
kubectl apply --server-side --kustomize deploy/k8s/servers > /dev/null
kubectl apply --server-side --namespace dragoman --filename deploy/k8s/test-ports.yaml > /dev/null
deploy/k8s/upgrade.sh dragoman dragoman --values deploy/k8s/dev.yaml --values deploy/k8s/test.yaml \
    ${DRAGOMAN_VALUES:+--values "$DRAGOMAN_VALUES"}
exec python -m tests.deploy.cluster_drill "$secrets/admin/dragoman.toml" "$tag" "$@"
