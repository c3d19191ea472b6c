#!/bin/sh
# Runs the commands of docs/operate/one-server.md on a clean Debian 12: installs the wheel, chats, backs up, restores, upgrades.
# Before the upgrade and during it, users chat while search is killed, frozen and restarted, its disk is full, and its index is
# deleted. Needs root, ./dev setup, debootstrap and systemd-nspawn (Debian's systemd-container).
# Usage: deploy/systemd/end_to_end.sh [DEBIAN]
# DEBIAN: a directory that debootstrap has filled, which stays as it is. Exit status 77: skipped, because this machine
# lacks something.
set -eu
cd "$(dirname "$0")/../.."
say() { echo "end-to-end test: $1"; }
skip() { say "skipped: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "it needs root"
command -v systemd-nspawn > /dev/null || skip "there is no systemd-nspawn"

packages=systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,procps
kept=$(mktemp -d)
machine=dragoman-test-$$
root=$kept/root
end() {
    status=$?
    [ $status -eq 0 ] || inside journalctl --no-pager --lines 40 --unit dragoman --unit dragoman-backup || true
    [ -z "${init:-}" ] || { kill -RTMIN+4 "$init" 2> /dev/null && wait "$host" 2> /dev/null; } || true
    ! mountpoint --quiet "$kept/disk" || umount "$kept/disk"
    rm -rf "$kept"
}
trap end EXIT

if [ $# -gt 0 ]; then
    cp -a "$1" "$root"
else
    command -v debootstrap > /dev/null || skip "there is no debootstrap"
    say "making a Debian"
    debootstrap --variant=minbase --include="$packages" bookworm "$root" > "$kept/log" 2>&1 || { tail "$kept/log"; exit 1; }
fi
[ -z "${PIP_CERT:-${REQUESTS_CA_BUNDLE:-}}" ] || cp --remove-destination /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
say "building the wheel"
./dev wheels --pure > /dev/null 2>&1
mkdir -p "$root/root/deploy"
cp dist/dragoman-0.1.0-py3-none-any.whl "$root/root/"
cp -r deploy/systemd "$root/root/deploy/"
[ ! -f /etc/pip.conf ] || cp --remove-destination /etc/pip.conf "$root/etc/"
env | grep -E '^(PIP|UV|[A-Za-z]*_[Pp][Rr][Oo][Xx][Yy]|[a-z]*_proxy)' > "$root/root/environment" || true

# The disk of the index, which can be filled.
truncate -s 256M "$kept/disk.img"
mkfs.ext4 -q -m 0 "$kept/disk.img"
mkdir "$kept/disk"
mount -o loop "$kept/disk.img" "$kept/disk"
mkdir "$kept/disk/index"

systemd-nspawn --quiet --register=no --keep-unit --directory "$root" --bind="$kept/disk/index:/srv/index" --boot > "$kept/console" 2>&1 &
host=$!
init=""
for _ in $(seq 100); do
    init=$(pgrep -P $host || true)
    [ -n "$init" ] && inside_ready=$(nsenter --target "$init" --all systemctl is-system-running 2> /dev/null || true)
    case ${inside_ready:-} in running | degraded) break ;; esac
    sleep 0.3
done
[ -n "$init" ] || { say "Debian does not boot here"; tail -5 "$kept/console"; exit 1; }
inside() { nsenter --target "$init" --all env --chdir=/root "$@"; }
# Prints the commands of a section of the page, as they stand there, but for a substitution.
page() {
    echo 'while read -r line; do export "$line"; done < /root/environment'
    sed -n "/^## $1/,/^## /p" docs/operate/one-server.md | sed -n '/^```sh/,/^```/{/^```/!p;}' | grep -v '^apt-get' |
        sed "${2:-}"
}
await() {
    for _ in $(seq 120); do
        inside journalctl --no-pager --unit dragoman --since "$1" --grep '"?ready ws|^ready' > /dev/null 2>&1 && return
        sleep 0.5
    done
    say "not ready"; exit 1
}
# Of all its processes, which share some of it.
memory() { inside sh -c 'for one in $(pgrep -u dragoman); do cat /proc/$one/smaps_rollup; done' | awk '/^Pss:/ { sum += $2 } END { print int(sum / 1024) }'; }
# When a line of the log came last.
shown() {
    inside journalctl --no-pager --unit dragoman --since "$1" --grep "$2" --output short-precise | sed -n '$s/.* \([0-9:.]*\) .* .*\[.*/\1/p'
}
chat() {
    { sleep 1; for line; do echo "$line"; sleep 2; done; echo /quit; sleep 1; } |
        inside timeout 60 /opt/dragoman/bin/dragoman client ws://127.0.0.1:8081 --dialect service
}

say "on $(inside sh -c '. /etc/os-release; echo $PRETTY_NAME'), $(cat "$root/etc/debian_version"), $(
    inside systemctl --version | head -n 1), $(inside python3 --version), $(nproc) cores"
say "installing"
began=$(date +%s)
# A reader runs doctor after the log has shown `ready`.
ready="timeout 60 sh -c \"until journalctl --unit dragoman --grep 'ready ws' > /dev/null; do sleep 0.5; done\""
page Install "s#^runuser#$ready; runuser#" > "$root/root/install"
inside sh -eu install > "$kept/log" 2>&1 || { tail -20 "$kept/log"; exit 1; }
await "-5min"
say "ready $(($(date +%s) - began)) s after its beginning, with $(memory) MiB"
say "$(inside systemd-analyze security dragoman.service --no-pager | tail -n 1)"
chat "/register ann orange" | grep "you are user ann"
inside timeout 20 journalctl --unit dragoman --follow --no-tail | grep --max-count 1 --only-matching 'ready ws://.*' ||
    { say "the log does not show it"; exit 1; }
# The editor of a drop-in, which wants a terminal.
printf '#!/bin/sh\nprintf "[Service]\\nLimitNOFILE=70000\\n" > "$1"\n' > "$root/root/editor"
chmod +x "$root/root/editor"
inside script --quiet --return --command "env SYSTEMD_EDITOR=/root/editor systemctl edit dragoman" /dev/null
[ "$(inside systemctl show dragoman --property LimitNOFILE --value)" = 70000 ] || { say "the drop-in has no effect"; exit 1; }
inside systemctl start dragoman-backup
say "backed up: $(inside ls /var/lib/dragoman-backups)"
chat "/register bob orange" | grep "you are user bob"
say "restoring"
inside sleep 1
since=$(inside date '+%F %T')
page Backups > "$root/root/restore"
inside sh -eu restore
await "$since"
chat "/login ann orange" | grep "you are user ann"
! chat "/login bob orange" | grep "you are user bob" || { say "bob came after the backup"; exit 1; }
say "disturbing search, and upgrading"
inside systemctl stop dragoman
inside sh -euc 'rm -r /var/lib/dragoman/search; install -d -o dragoman -g dragoman -m 0700 /var/lib/dragoman/search /srv/index
    mount --bind /srv/index /var/lib/dragoman/search; printf "\n[limits]\nrates = false\n" >> /etc/dragoman/dragoman.toml'
inside sleep 1
since=$(inside date '+%F %T')
inside systemctl start dragoman
await "$since"
# There is one version here: it is its own successor.
page Upgrade "s/dragoman-0.2.0-py3/dragoman-0.1.0-py3/" > "$root/root/upgrade"
.venv/bin/python -m tests.deploy.systemd_drill "$init" "$root" "$kept/disk" ws://127.0.0.1:8080
say "the restart of the upgrade: from $(shown "$since" 'Stopping') to $(shown "$since" 'ready ws')"
chat "/login ann orange" | grep "you are user ann"
inside systemctl stop dragoman
[ -z "$(inside pgrep -u dragoman || true)" ] || { say "something of it still runs"; exit 1; }
say "all of the page works"
