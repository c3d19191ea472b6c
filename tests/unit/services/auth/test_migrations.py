"""The migrations create exactly the declared tables, and stop no service."""

import sqlalchemy as sa

from services.auth.tables import AuthBase
from shared.migrate import upgrade
from tests.support.migrating import COUNTED, WRITE_SECONDS, count_rows, create_at, differences, migrate_beside

ACCOUNTS = f"""
    INSERT INTO accounts (uuid, email, email_key, username, created, question_id, nickname, icon_id, signature, vip,
        lobby)
    {COUNTED} SELECT 'u' || n, n || '@example.org', n || '@example.org', 'name' || n, n, 0, 'nick', 0, '', 0, true
    FROM counted"""
LOGINS = f"""
    INSERT INTO logins (sid, account, created, expires, address, client)
    {COUNTED} SELECT 's' || n, n, n, n, '127.0.0.1', 'v2' FROM counted"""
REGISTER = sa.text("""
    INSERT INTO accounts (uuid, created, question_id, nickname, icon_id, signature, vip, lobby)
    VALUES (:uuid, 1, 0, 'nick', 0, '', 0, true)""")
FIND = sa.text("SELECT id FROM accounts WHERE email_key = :email")
RENAME = sa.text("UPDATE accounts SET nickname = :nickname WHERE id = :account")
LOG_IN = sa.text("""
    INSERT INTO logins (sid, account, created, expires, address, client) VALUES (:sid, 1, 1, 1, '127.0.0.1', 'v2')""")
RENEW = sa.text("UPDATE logins SET expires = :expires WHERE sid = :sid")


def test_migrations_create_the_declared_tables(database_url: str) -> None:
    upgrade("auth", database_url)
    assert differences(database_url, AuthBase.metadata) == []


def test_accounts_register_and_log_in_while_a_million_are_migrated(database_url: str) -> None:
    """As the version of the first revision does."""

    def work(connection: sa.Connection, number: int) -> None:
        connection.execute(REGISTER, {"uuid": f"new{number}"})
        assert connection.execute(FIND, {"email": f"{number}@example.org"}).scalar_one() == number
        connection.execute(RENAME, {"account": number, "nickname": f"nick {number}"})
        connection.execute(LOG_IN, {"sid": f"new{number}"})
        connection.execute(RENEW, {"sid": f"s{number}", "expires": number})

    create_at("auth", database_url, "0011", [ACCOUNTS, LOGINS])
    done, slowest = migrate_beside("auth", database_url, work)
    assert count_rows(database_url, "accounts") == count_rows(database_url, "logins") == 1_000_000 + done
    assert slowest < WRITE_SECONDS
