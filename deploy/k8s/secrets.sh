#!/bin/sh
# Issues the secrets of an installation, and stores them in the cluster as Secrets named dragoman-<place>.
# Usage: secrets.sh NAMESPACE DIRECTORY [options of `dragoman secrets`]. Keep DIRECTORY safe; safe to repeat.
set -eu
case " $* " in *" -h "* | *" --help "*) sed -n '2,3s/^# //p' "$0"; exit ;; esac
[ $# -ge 2 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
namespace=$1 directory=$2
shift 2
kubectl get namespace "$namespace" > /dev/null || { echo "secrets.sh: nothing was issued: is there a namespace $namespace?" >&2; exit 1; }
dragoman secrets "$directory" "$@"
for place in "$directory"/*/; do
  name=dragoman-$(basename "$place")
  kubectl create secret generic "$name" --namespace "$namespace" --from-file="$place" --dry-run=client --output yaml |
    kubectl apply --server-side --force-conflicts --field-manager dragoman-secrets --filename -
  # Earlier versions applied from the client, which copied the whole secret into this annotation.
  kubectl annotate secret "$name" --namespace "$namespace" kubectl.kubernetes.io/last-applied-configuration- > /dev/null
done
