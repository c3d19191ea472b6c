#!/bin/sh
# Prints the commands of docs/operate that stand in one block: printed_commands.sh HEADING NUMBER OF THE BLOCK
set -eu
awk -v heading="$1" -v wanted="$2" '
    FNR == 1 { here = inside = 0 }
    /^#/ && !inside { here = ($0 ~ "^#+ " heading "$"); number = 0 }
    /^ *```sh/ { inside = 1; number++; next }
    /^ *```/ { inside = 0 }
    inside && here && number == wanted { print; found = 1 }
    END { if (!found) { print "printed_commands.sh: there is no block " wanted " below " heading > "/dev/stderr"; exit 1 } }
' "$(dirname "$0")"/../docs/operate/*.md
