"""What is worth watching of auth."""

from shared.dashboard.panels import Board, Group, count, now, rate, spread
from shared.dashboard.presets import ASKED, DATABASE, EVENTS, PROCESS, REQUESTS

BOARD = Board(
    "auth",
    (
        Group(
            "Accounts",
            (
                rate("Logins", "dragoman_auth_logins", by="result"),
                rate("Registrations", "dragoman_auth_registrations", by="result"),
                rate("Recoveries", "dragoman_auth_recoveries", by="result"),
                rate("Deletions", "dragoman_auth_deletions"),
                rate("Tokens voided", "dragoman_auth_revocations", by="scope"),
            ),
        ),
        Group(
            "Passwords",
            (
                now("Waiting for a hash", "dragoman_auth_hashes_waiting"),
                count("Hashes", "dragoman_auth_hash_seconds"),
                spread("Time of a hash", "dragoman_auth_hash_seconds"),
            ),
        ),
        Group(
            "Mails",
            (
                rate("Mails", "dragoman_auth_mails", by="result"),
                rate("Verifications", "dragoman_auth_verifications", by="step"),
            ),
        ),
        Group(
            "Trouble",
            (
                rate("Limits without Redis", "dragoman_auth_limiter_fallbacks", bad=True),
                rate("Events not told", "dragoman_auth_relay_failures", bad=True),
            ),
        ),
        REQUESTS,
        EVENTS,
        DATABASE,
        ASKED,
        PROCESS,
    ),
)
