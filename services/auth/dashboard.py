"""Auth's dashboard."""

from shared.dashboard import panels

DASHBOARD = panels.dashboard(
    "auth",
    panels.group(
        "Accounts",
        panels.rate("Logins", "dragoman_auth_logins", by="result"),
        panels.rate("Registrations", "dragoman_auth_registrations", by="result"),
        panels.rate("Recoveries", "dragoman_auth_recoveries", by="result"),
        panels.rate("Deletions", "dragoman_auth_deletions"),
        panels.rate("Tokens voided", "dragoman_auth_revocations", by="scope"),
    ),
    panels.group(
        "Passwords",
        panels.gauge("Waiting for a hash", "dragoman_auth_hashes_waiting"),
        panels.count("Hashes", "dragoman_auth_hash_seconds"),
        panels.percentiles("Time of a hash", "dragoman_auth_hash_seconds"),
    ),
    panels.group(
        "Mails",
        panels.rate("Mails", "dragoman_auth_mails", by="result"),
        panels.rate("Verifications", "dragoman_auth_verifications", by="step"),
    ),
    panels.group(
        "Trouble",
        panels.rate("Limits without Redis", "dragoman_auth_limiter_fallbacks", bad=True),
        panels.rate("Events not published", "dragoman_auth_relay_failures", bad=True),
    ),
    panels.REQUESTS,
    panels.EVENTS,
    panels.DATABASE,
    panels.REQUESTS_SENT,
    panels.PROCESS,
)
