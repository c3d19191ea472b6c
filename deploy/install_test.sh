#!/bin/sh
# Runs the commands by which docs/operate installs Dragoman without containers, in directories of their own: a wheel by
# pipx, in an environment, and by uvx, and the compiled installation from the lock, for which it needs gcc and the headers of
# Python. Needs an index of packages, from which pipx and uv come, too. Usage: deploy/install_test.sh     after ./dev setup
set -eu
[ $# -eq 0 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
cd "$(dirname "$0")/.."
kept=$(mktemp -d)
running=""
end() { [ -z "$running" ] || kill "$running" 2> /dev/null && wait "$running" 2> /dev/null || true; rm -rf "$kept"; }
trap end EXIT
say() { echo "install test: $*"; }
fail() { say "$*: $(tail -n 20 "$kept/log")" >&2; exit 1; }

# A command of a block of the page, by the block's section and number and its own number. What serves has a free port here.
line_of() {
    deploy/printed_commands.sh "$1" "$2" | sed -n "$3p" |
        sed "s#/opt/dragoman#$kept/opt#g; s#dragoman up#& --port $port --data $kept/data-$port#" > "$kept/line"
}
printed() { line_of "$@"; sh -eu "$kept/line" > "$kept/log" 2>&1 || fail "$(cat "$kept/line")"; }
# Starts one that serves, until it says that it is ready, and ends it.
served() {
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    line_of "$@"
    sed -i 's/^/exec /' "$kept/line"
    sh -eu "$kept/line" > "$kept/log" 2>&1 &
    running=$!
    for _ in $(seq 600); do
        ! grep -q 'ready ws://' "$kept/log" && kill -0 $running 2> /dev/null || break
        sleep 0.2
    done
    grep -q "ready ws://127.0.0.1:$port" "$kept/log" || fail "not ready: $(cat "$kept/line")"
    kill $running
    wait $running || true
    running=""
    say "ready: $(cut -d' ' -f2- "$kept/line")"
}
version() { "$1" --version > "$kept/log" 2>&1 || fail "no version"; say "$1: $(cat "$kept/log")"; }

say "building the wheel"
./dev wheels --pure > "$kept/log" 2>&1 || fail "no wheel"
python3 -m venv "$kept/tools"
"$kept/tools/bin/pip" install --quiet pipx uv > "$kept/log" 2>&1 || fail "neither pipx nor uv"
export HOME="$kept/home" PATH="$kept/tools/bin:$PATH" UV_CACHE_DIR="$kept/uv"
mkdir "$HOME"

port=0
printed "Installing it" 1 1
version "$HOME/.local/bin/dragoman"
printed "Installing it" 1 2
version "$HOME/dragoman/bin/dragoman"
served "Installing it" 1 3
say "compiling"
# In a copy: while it builds, hatch-mypyc hides pyproject.toml.
mkdir "$kept/source"
tar --exclude ./.git --exclude ./.venv --exclude ./dist -c . | tar -x -C "$kept/source"
cd "$kept/source"
printed "Compiled installation" 1 1
printed "Compiled installation" 1 2
printed "Compiled installation" 1 3
find "$kept/opt" -path "*/site-packages/services/*.so" | grep -q . || fail "nothing is compiled"
served "Compiled installation" 1 4
say "all of the commands work"
