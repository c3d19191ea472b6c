#!/bin/sh
# Writes Alertmanager's configuration, which knows no variables, from those of alerts.env, and starts it. Options go on to
# Alertmanager. A receiver without an address gets alerts and sends nothing.
set -eu
umask 077
file=${TMPDIR:-/tmp}/alertmanager.yml

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

webhook() {
    [ -z "$1" ] || printf '    webhook_configs: [{url: %s, send_resolved: %s}]\n' "$(quoted "$1")" "$2"
}

mail() {
    [ -n "${ALERT_MAIL_TO:-}" ] || return 0
    printf '    email_configs:\n      - to: %s\n        send_resolved: true\n' "$(quoted "$ALERT_MAIL_TO")"
    printf '        from: %s\n        smarthost: %s\n' "$(quoted "$ALERT_MAIL_FROM")" "$(quoted "$ALERT_SMTP")"
    [ -z "${ALERT_SMTP_USER:-}" ] || printf '        auth_username: %s\n        auth_password: %s\n' \
        "$(quoted "$ALERT_SMTP_USER")" "$(quoted "${ALERT_SMTP_PASSWORD:-}")"
}

[ -z "${ALERT_MAIL_TO:-}" ] || : "${ALERT_MAIL_FROM:?is missing: mail needs it}" "${ALERT_SMTP:?is missing: mail needs it}"
[ -n "${ALERT_WEBHOOK:-}${ALERT_MAIL_TO:-}" ] || echo "alertmanager: ALERT_WEBHOOK and ALERT_MAIL_TO are empty: alerts are sent nowhere"
[ -n "${ALERT_WATCHDOG:-}" ] || echo "alertmanager: ALERT_WATCHDOG is empty: nobody notices when alerting itself stops"
{
    cat <<'CONFIG'
route:
  receiver: operators
  group_by: [alertname, job]
  group_wait: 10s
  # Another dependency of the same job that fails soon after has the same group: its page waits for so long.
  group_interval: 1m
  repeat_interval: 4h
  routes:
    # The dead man's switch: sent each one or two minutes, and never with other alerts.
    - receiver: watchdog
      matchers: [alertname = DragomanWatchdog]
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 1m
receivers:
CONFIG
    echo "  - name: operators"
    webhook "${ALERT_WEBHOOK:-}" true
    mail
    echo "  - name: watchdog"
    webhook "${ALERT_WATCHDOG:-}" false
} > "$file"
exec alertmanager --config.file="$file" "$@"
