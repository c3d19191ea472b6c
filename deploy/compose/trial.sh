#!/bin/sh
# Does docker-compose.yml really run? Builds the image, starts everything, and has the conformance suite talk to it
# through the balancer. Where the named base images cannot be pulled, it makes stand-ins for them from Debian packages
# (needs root, debootstrap). Usage: deploy/compose/trial.sh [DIRECTORY OF THE CONFORMANCE SUITE] [PYTEST ARGUMENTS]
set -eu
cd "$(dirname "$0")/../.."
suite=${1:-../shared/conformance}
[ $# -gt 0 ] && shift

skip() { echo "trial: skipped: $1"; exit 0; }
say() { echo "trial: $1"; }
docker info >/dev/null 2>&1 || skip "no Docker daemon answers"
if docker compose version >/dev/null 2>&1; then compose="docker compose"
elif command -v docker-compose >/dev/null; then compose=docker-compose
else skip "there is no Docker Compose"; fi

python_image=python:3.11-slim-bookworm
# Those of the profile `dashboards` are not started here.
images="$python_image $(sed -n 's/.*image: ${[A-Z]*_IMAGE:-\(.*\)}/\1/p' docker-compose.yml | grep -v '^prom/\|^grafana/')"
missing=""
for image in $images; do
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" 2>/dev/null || missing="$missing $image"
done
[ -z "$missing" ] || deploy/compose/stand-ins.sh $missing || skip "no base images:$missing"

project=dragoman-trial
export COMPOSE_PROJECT_NAME=$project DRAGOMAN_PORT="${DRAGOMAN_PORT:-18080}" DRAGOMAN_RATES=false
export DRAGOMAN_PUBLIC_URL="http://127.0.0.1:$DRAGOMAN_PORT"
end() {
  status=$?
  [ $status -eq 0 ] || $compose logs --tail=40
  $compose down --volumes --timeout 20 >/dev/null 2>&1
}
trap end EXIT

say "building the image"
docker build --quiet --network host --tag dragoman:0.1.0 . >/dev/null
say "starting"
$compose up -d
deadline=$(($(date +%s) + 180))
until curl -fsS -o /dev/null "http://127.0.0.1:$DRAGOMAN_PORT/"; do
  [ "$(date +%s)" -lt $deadline ] || { say "the balancer did not answer in time"; $compose ps; exit 1; }
  sleep 1
done 2>/dev/null
say "answers at http://127.0.0.1:$DRAGOMAN_PORT"
[ -d "$suite" ] || { say "there is no conformance suite at $suite: not run"; exit 0; }
outbox=$(docker volume inspect --format '{{.Mountpoint}}' ${project}_outbox)
.venv/bin/python -m pytest -q -p no:cacheprovider --rootdir "$suite" "$suite" --mailbox "$outbox" \
  --edge "ws://127.0.0.1:$DRAGOMAN_PORT" --edge2 "ws://127.0.0.1:$DRAGOMAN_PORT" "$@"
