#!/bin/sh
# Backs up the database and the keys of tokens to /backups/<time>, in the form that `dragoman restore` reads. A backup
# counts after it was restored into a database of its own, below $SCRATCH. The newest $KEEP stay. With $RESTORE, the
# name of a backup, it is restored into the installation's database, which has roles and schemas, and no tables. Images
# and files are included if $MEDIA names their directory; backups share contents that they have in common.
set -eu
umask 077
url=$(sed -n 's/^url = "\(postgresql:[^"]*\)"$/\1/p' /secrets/dragoman.toml)
draft=/backups/.draft
scratch=${SCRATCH:-/scratch}/database
[ ! -f /secrets/ca.crt ] || export PGSSLMODE=verify-full PGSSLROOTCERT=/secrets/ca.crt

report() { echo "$(date -u +%T) $*"; }

dump() {
    pg_dump --dbname "$url" --format=custom --schema=auth --schema=session --schema=message \
        --file "$draft/auth-session-message.dump"
}

prove() {
    rm -rf "$scratch"
    initdb --pgdata "$scratch" --username postgres --auth trust > /dev/null
    pg_ctl --pgdata "$scratch" --log /tmp/scratch.log --wait --options \
        "-c listen_addresses='' -c unix_socket_directories=/tmp -c fsync=off -c full_page_writes=off" start > /dev/null 9>&-
    trap 'pg_ctl --pgdata "$scratch" --mode immediate stop > /dev/null; rm -rf "$scratch"' EXIT
    export PGHOST=/tmp PGUSER=postgres PGDATABASE=postgres PGSSLMODE=disable
    pg_restore --dbname postgres --no-owner --no-privileges --single-transaction "$draft/auth-session-message.dump"
    for schema in auth session message; do
        revision=$(psql --no-align --tuples-only --command "SELECT version_num FROM $schema.alembic_version")
        [ -n "$revision" ] || { report "the schema $schema was not restored"; exit 1; }
        report "$schema was restored, at revision $revision"
    done
}

# A blob never changes. A record does: a file whose use was too low after a restore would expire.
copy_media() {
    last=$(find /backups -mindepth 1 -maxdepth 1 -type d -name '20*' | sort | tail -n 1)
    for room in records blobs; do
        mkdir -p "$draft/media/$room"
        find "$MEDIA/$room" -type f 2> /dev/null | while read -r file; do
            name=$room/${file##*/}
            { [ $room = blobs ] && ln "$last/media/$name" "$draft/media/$name" 2> /dev/null; } ||
                cp "$file" "$draft/media/$name" || [ ! -e "$file" ] # it was removed just now
        done
    done
}

keep() {
    mkdir "$draft/keys"
    cp /keys/*.pem "$draft/keys/"
    media=false
    [ -z "${MEDIA:-}" ] || { media=true; copy_media; } # images have a directory /media of their own
    printf '{"version": "", "made": %s000, "databases": "postgresql", "media": %s}\n' "$(date +%s)" "$media" > "$draft/backup.json"
    sync
    mv "$draft" "$backup"
    find /backups -mindepth 1 -maxdepth 1 -type d -name '20*' | sort -r | tail -n +$((KEEP + 1)) |
        while read -r old; do rm -rf "$old"; done
}

note() {
    echo "dragoman_backup_time_seconds $(date +%s)" > "$METRICS/.backup" &&
        chmod 0644 "$METRICS/.backup" && mv "$METRICS/.backup" "$METRICS/backup.prom"
}

# Tables belong to the role that restores them, and its default privileges let the services use them. A database that
# went back in time gets another epoch, and leaves numbers out (dragoman restore does the same).
restore() {
    dump=/backups/$RESTORE/auth-session-message.dump
    [ -f "$dump" ] || { report "there is no $dump; there are:" $(ls /backups); exit 1; }
    tables=$(query "SELECT count(*) FROM pg_tables WHERE schemaname IN ('auth', 'session', 'message')")
    [ "$tables" = 0 ] || { report "the database has $tables tables: nothing is overwritten"; exit 1; }
    pg_restore --dbname "$url" --schema=auth --schema=session --schema=message --no-owner --no-privileges \
        --single-transaction "$dump"
    query "UPDATE message.epochs SET value = substr(md5(random()::text), 1, 8)"
    for table in auth.accounts session.chat; do # numbers that were given after the backup are not given again
        sequence="pg_get_serial_sequence('$table', 'id')"
        query "SELECT setval($sequence, coalesce(pg_sequence_last_value($sequence), 0) + 100000)" > /dev/null
    done
    [ -z "${MEDIA:-}" ] || [ ! -d "/backups/$RESTORE/media" ] || (cd "/backups/$RESTORE/media" && cp -R . "$MEDIA/")
    report "restored $RESTORE"
}

query() { psql "$url" --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --command "$1"; }

[ -z "${RESTORE:-}" ] || { restore; exit; }
exec 9> /backups/.lock
flock 9 # one backup at a time: a manual one may run beside the nightly one. The scratch server must not inherit this
backup=/backups/$(date -u +%Y-%m-%dT%H%M%SZ)
rm -rf "$draft"
mkdir "$draft"
dump
prove
keep
[ -z "${METRICS:-}" ] || note || report "nothing can be written to $METRICS: an alert will report an old backup"
report "backed up to $backup"
