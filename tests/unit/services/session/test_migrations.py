"""The migrations create exactly the declared tables, and stop no service."""

import sqlalchemy as sa

from services.session.tables import metadata
from tests.support.migrating import COUNTED, WRITE_SECONDS, count_rows, create_at, differences, migrate_beside

PROFILES = f"""
    INSERT INTO profile (id, uuid, nickname, avatar, avatar_hash, icon_id, signature, vip, status, created,
        public_updated, private_updated, deleted)
    {COUNTED} SELECT n, 'u' || n, 'nick', '', '', 0, '', 0, 0, n, n, n, false FROM counted"""
CHATS = """
    INSERT INTO chat (kind, name, owner, join_policy, avatar, avatar_hash, created, updated, version, size, seats)
    SELECT 'group', 'group', id, 'open', '', '', id, id, 1, 10, 10 FROM profile WHERE id <= 100000"""
MEMBERS = """
    INSERT INTO member (chat, account, role, seat, first_index, unread_from, version)
    SELECT (SELECT min(id) FROM chat) + id % 100000, id, 1, id / 100000, 1, 1, 1 FROM profile"""
"""10⁶ profiles and members, and 10⁵ chats."""
CREATE = sa.text("""
    INSERT INTO profile (id, uuid, nickname, avatar, avatar_hash, icon_id, signature, vip, status, created,
        public_updated, private_updated, deleted)
    VALUES (:account, :uuid, 'nick', '', '', 0, '', 0, 0, 1, 1, 1, false)""")
LOCK = sa.text("UPDATE chat SET version = version + 1, size = size + 1 WHERE id = :chat")
JOIN = sa.text("""
    INSERT INTO member (chat, account, role, seat, first_index, unread_from, version)
    SELECT id, :account, 1, seats, 1, 1, version FROM chat WHERE id = :chat""")
RENAME = sa.text("UPDATE profile SET nickname = :nickname WHERE id = :account")


def test_migrated_tables_equal_declared_tables(migrated_url: str) -> None:
    assert differences(migrated_url, metadata) == []


def test_members_join_while_a_million_are_migrated(database_url: str) -> None:
    """As the first version lets them."""

    def work(connection: sa.Connection, number: int) -> None:
        chat = {"chat": 1_000 + number % 50_000}
        account = {"account": 1_000_000 + number}
        connection.execute(CREATE, account | {"uuid": f"new{number}"})
        connection.execute(LOCK, chat)
        connection.execute(JOIN, chat | account)
        connection.execute(RENAME, {"account": number, "nickname": f"nick {number}"})

    create_at("session", database_url, "0001", [PROFILES, CHATS, MEMBERS])
    done, slowest = migrate_beside("session", database_url, work)
    assert count_rows(database_url, "profile") == count_rows(database_url, "member") == 1_000_000 + done
    assert slowest < WRITE_SECONDS
