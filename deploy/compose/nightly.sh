#!/bin/sh
# Makes a backup at once if there is none of the last day, then one each day at $AT (UTC, HH:MM). A failed one is made
# again after ten minutes. node_exporter reads in $METRICS since when there should be backups.
set -eu

back_up() {
    until sh /scripts/backup.sh; do
        echo "backup failed, again in ten minutes"
        sleep 600
    done
}

seconds_until_next() {
    hours=${AT%:*} minutes=${AT#*:}
    due=$((${hours#0} * 3600 + ${minutes#0} * 60))
    echo $(((86399 + due - $(date -u +%s) % 86400) % 86400 + 1))
}

seconds_until_next > /dev/null # a wrong time ends it here
[ -e "$METRICS/schedule.prom" ] ||
    echo "dragoman_backup_schedule_start_seconds $(date +%s)" > "$METRICS/schedule.prom" ||
    echo "nothing can be written to $METRICS: no alert comes when backups fail"
[ -n "$(find /backups -mindepth 1 -maxdepth 1 -name '20*' -mmin -1440)" ] || back_up
while :; do
    sleep "$(seconds_until_next)"
    back_up
done
