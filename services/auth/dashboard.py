"""Auth's dashboard."""

from shared.dashboard.panels import (
    DATABASE,
    EVENTS,
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    count,
    dashboard,
    gauge,
    group,
    percentiles,
    rate,
)

DASHBOARD = dashboard(
    "auth",
    group(
        "Accounts",
        rate("Logins", "dragoman_auth_logins", by="result"),
        rate("Registrations", "dragoman_auth_registrations", by="result"),
        rate("Recoveries", "dragoman_auth_recoveries", by="result"),
        rate("Deletions", "dragoman_auth_deletions"),
        rate("Tokens voided", "dragoman_auth_revocations", by="scope"),
    ),
    group(
        "Passwords",
        gauge("Waiting for a hash", "dragoman_auth_hashes_waiting"),
        count("Hashes", "dragoman_auth_hash_seconds"),
        percentiles("Time of a hash", "dragoman_auth_hash_seconds"),
    ),
    group(
        "Mails",
        rate("Mails", "dragoman_auth_mails", by="result"),
        rate("Verifications", "dragoman_auth_verifications", by="step"),
    ),
    group(
        "Trouble",
        rate("Limits without Redis", "dragoman_auth_limiter_fallbacks", bad=True),
        rate("Events not published", "dragoman_auth_relay_failures", bad=True),
    ),
    REQUESTS,
    EVENTS,
    DATABASE,
    REQUESTS_SENT,
    PROCESS,
)
