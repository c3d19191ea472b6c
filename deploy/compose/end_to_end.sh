#!/bin/sh
# Tests docker-compose.yml: builds the image, starts everything, and runs the conformance suite
# through the balancer. Where the named base images cannot be pulled, it makes stand-ins for them from Debian packages
# (needs root, debootstrap). Usage:
#   deploy/compose/end_to_end.sh [--tls] [--dashboards] [DIRECTORY OF THE CONFORMANCE SUITE] [PYTEST ARGUMENTS]
#   deploy/compose/end_to_end.sh --chaos [--alerts] [STEP …]
#   deploy/compose/end_to_end.sh [--tls] [--dashboards] --commands
# --tls: with TLS, and the tests that differ with it (tests/deploy/over_tls.py);
# --dashboards: with those parts of the profile whose images exist, whose health checks must see a freeze;
# --chaos: instead of the suite, users chat while containers are killed, frozen and restarted, disks are full, and
# upgrade.sh goes to another tag and back (as root, after ./dev setup); prints waits and losses. Exit status 0: passed,
# 1: failed, 2: inconclusive, 77: skipped, because this machine lacks something. With the tag of an
# earlier image in DRAGOMAN_VERSION, the upgrade is from that one;
# --alerts: with Prometheus. Freezes and full disks last until an alert fires, and the table names the alerts;
# --commands: instead of the suite, the commands that docs/operate and docs/runbooks print for Compose
# (page_commands.sh).
set -eu
cd "$(dirname "$0")/../.."
tls=false chaos=false alerts=false commands=false dashboards=""
watchers="prometheus alertmanager nats-exporter valkey-exporter postgres-exporter node-exporter blackbox"
while :; do
  case ${1:-} in
    -h | --help) sed -n '2,16s/^# //p' deploy/compose/end_to_end.sh; exit ;;
    --chaos) chaos=true ;;
    --commands) commands=true ;;
    --tls) tls=true ;;
    --alerts) alerts=true dashboards=$watchers ;;
    --dashboards) dashboards="$watchers grafana" ;;
    *) break ;;
  esac
  shift
done
suite=""
if ! $chaos && ! $commands; then
  suite=${1:-../shared/conformance}
  [ $# -gt 0 ] && shift
elif $chaos && $tls; then echo "end-to-end test: --chaos is without --tls"; exit 2
elif $chaos && [ "$(id -u)" -ne 0 ]; then echo "end-to-end test: --chaos needs root"; exit 2
elif [ ! -x .venv/bin/python ]; then echo "end-to-end test: there is no .venv: run ./dev setup first"; exit 2
fi

export DRAGOMAN_PORT="${DRAGOMAN_PORT:-18080}"
place=127.0.0.1:$DRAGOMAN_PORT reached=0
curl --silent --noproxy '*' --max-time 2 --output /dev/null "http://$place/" || reached=$?
if [ $reached -ne 7 ]; then # refused
  echo "end-to-end test: the port $DRAGOMAN_PORT is taken: name a free one by DRAGOMAN_PORT"
  exit 2
fi

skip() { echo "end-to-end test: skipped: $1"; exit 77; }
say() { echo "end-to-end test: $1"; }
docker info >/dev/null 2>&1 || skip "no Docker daemon answers"
docker compose version >/dev/null 2>&1 || skip "there is no Docker Compose 2"

image_of() { sed -n "/^  $1:\$/,/^\$/s/.*image: \${[A-Z_]*_IMAGE:-\(.*\)}/\1/p" docker-compose.yml; }
there() { docker image inspect "$1" >/dev/null 2>&1; }
images=$(for service in nats valkey postgres balancer $dashboards; do image_of $service; done)
missing=""
for image in $(sed -n 's/^ARG PYTHON=//p' Dockerfile) $images; do
  there "$image" || docker pull --quiet "$image" 2>/dev/null || missing="$missing $image"
done
[ -z "$missing" ] || deploy/compose/stand-ins.sh $missing || skip "no base images:$missing"
watching=""
for service in $dashboards; do
  if there "$(image_of $service)"; then watching="$watching $service"; else say "without $service: no image"; fi
done

project=dragoman-test
kept=$(mktemp -d)
export COMPOSE_PROJECT_NAME=$project DRAGOMAN_RATES=false
files=$(ulimit -Hn)
[ "$files" = unlimited ] || [ "$files" -ge 65536 ] || export DRAGOMAN_FILES="$files"
s="" over_tls=""
if $tls; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$kept/key.pem" -out "$kept/certificate.pem" 2>/dev/null
  cat "$kept/certificate.pem" "$kept/key.pem" > "$kept/tls.pem"
  # The first of all settings by which curl and Python find trusted certificates.
  export DRAGOMAN_TLS_PEM="$kept/tls.pem" CURL_CA_BUNDLE="$kept/certificate.pem" SSL_CERT_FILE="$kept/certificate.pem"
  # The suite's clients read and write a connection in two threads at once. With TLS 1.3, whose tickets come after the
  # handshake, Python's ssl then hangs now and then: one connection in some hundreds.
  printf '%s\n' openssl_conf=a '[a]' ssl_conf=b '[b]' system_default=c '[c]' MaxProtocol=TLSv1.2 > "$kept/openssl.cnf"
  s=s over_tls="-p tests.deploy.over_tls tests/deploy/over_tls.py"
fi
export DRAGOMAN_PUBLIC_URL="http$s://$place"
disks="" mounted=""
end() {
  status=$?
  [ $status -eq 0 ] || docker compose --profile dashboards logs --tail=40
  docker compose --profile dashboards down --volumes --timeout 20 >/dev/null 2>&1
  docker image rm dragoman:test >/dev/null 2>&1 || true
  for disk in $mounted; do umount "$disk"; done
  rm -rf "$kept" ${disks:+"$disks"}
}
trap end EXIT

# Waits until a command succeeds, for at most this many seconds.
await() {
  deadline=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt $deadline ] || { say "in vain: $*"; docker compose ps; exit 1; }
    sleep 1
  done
}
find_prometheus() {
  prometheus=$(docker compose --profile dashboards ps -q prometheus)
  address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$prometheus" | cut -d' ' -f1)
}
# Whether Prometheus has a result for this query.
shows() {
  find_prometheus
  curl -fsS --noproxy '*' --get "http://$address:9090/api/v1/query" --data-urlencode "query=$1" | grep -q '"value"'
}

has_health() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = "$2" ]; }
# Freezes one by one what watches, and prints after how long its health check is red. (After `docker pause` Docker says
# so at once, without a check.)
freeze_watchers() {
  for service in $watching; do
    container=$(docker compose --profile dashboards ps -q "$service")
    await 90 has_health "$container" healthy
    docker kill --signal STOP "$container" >/dev/null
    frozen=$(date +%s)
    await 20 has_health "$container" unhealthy
    say "$service is red $(($(date +%s) - frozen)) s after it has frozen"
    docker kill --signal CONT "$container" >/dev/null
    await 30 has_health "$container" healthy
  done
}

# A server's volume on a file system of its own, which a step can fill. node_exporter, whose user owns nothing, must see
# it.
bounded_volume() {
  truncate -s "$2" "$disks/$1.img"
  mkfs.ext4 -q -m 0 "$disks/$1.img"
  mkdir "$disks/$1"
  mount -o loop "$disks/$1.img" "$disks/$1"
  mounted="$mounted $disks/$1"
  mkdir "$disks/$1/data"
  echo "  $1: {driver_opts: {type: none, o: bind, device: $disks/$1/data}}" >> "$disks/volumes.yml"
}
if $chaos; then
  disks=$(mktemp -d)
  chmod 0755 "$disks"
  echo volumes: > "$disks/volumes.yml"
  export COMPOSE_FILE="docker-compose.yml:$disks/volumes.yml"
  bounded_volume nats 64M
  bounded_volume postgres 512M
  bounded_volume search 64M
  chown 10001:10001 "$disks/search/data"
fi

say "building the image"
docker build --quiet --network host --tag dragoman:0.1.0 . >/dev/null
next=0.1.0
if $chaos && [ -z "${DRAGOMAN_VERSION:-}" ]; then
  next=test
  docker build --quiet --network host --build-arg VERSION=test --tag dragoman:test . >/dev/null
fi
say "starting"
began=$(date +%s)
docker compose up -d
await 300 curl -fsS --noproxy '*' -o /dev/null "$DRAGOMAN_PUBLIC_URL/"
say "answers at $DRAGOMAN_PUBLIC_URL after $(($(date +%s) - began)) s"
! $tls || curl -fsS --noproxy '*' --tlsv1.3 -o /dev/null "$DRAGOMAN_PUBLIC_URL/"
if [ -n "$watching" ]; then
  docker compose --profile dashboards up -d $watching
  await 90 shows 'count(up{job=~"auth|edge|message|search|session"} == 1) == 7'
  await 60 shows 'redis_up == 1 and on() pg_up == 1'
  await 60 shows 'count(haproxy_server_status{state="UP"} == 1) == 2'
  case $watching in *node-exporter*) await 60 shows 'count(node_filesystem_avail_bytes) > 0' ;; esac
  case $watching in *alertmanager*)
    await 120 sh -c "docker compose exec -T alertmanager amtool --alertmanager.url http://127.0.0.1:9093 alert | grep DragomanWatchdog" ;;
  esac
  case $watching in *nats-exporter*) await 60 shows 'gnatsd_healthz_status_value == 1' ;; esac
  ! $tls || await 120 shows 'probe_ssl_earliest_cert_expiry > time()'
  say "is watched by$watching"
  $alerts || $commands || freeze_watchers
fi
if $chaos; then
  ! $alerts || { find_prometheus; export DRAGOMAN_PROMETHEUS="http://$address:9090"; }
  .venv/bin/python -m tests.deploy.compose_drill $project "ws://$place" "$disks" $next "$@"
  exit
fi
if $commands; then
  deploy/compose/page_commands.sh "ws$s://$place"
  exit
fi
[ -d "$suite" ] || skip "there is no conformance suite at $suite; all before it has passed"
outbox=$(docker volume inspect --format '{{.Mountpoint}}' ${project}_outbox)
[ -z "$s" ] || export OPENSSL_CONF="$kept/openssl.cnf"
.venv/bin/python -m pytest -q -rxXs -c /dev/null -p no:cacheprovider --rootdir "$suite" "$suite" $over_tls \
  --mailbox "$outbox" --edge "ws$s://$place" --edge2 "ws$s://$place" "$@"
