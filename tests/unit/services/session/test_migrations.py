"""The migrations create exactly the declared tables, and names give up nicknames that are gone."""

import sqlalchemy as sa

from services.session.tables import metadata
from shared.database import make_engine
from shared.migrate import upgrade
from tests.support.migrating import create_at, differences


def test_migrated_tables_equal_declared_tables(migrated_url: str) -> None:
    assert differences(migrated_url, metadata) == []


def test_private_chats_give_up_nicknames_that_are_gone(database_url: str) -> None:
    fill = [
        """INSERT INTO profile (id, uuid, nickname, avatar, avatar_hash, icon_id, signature, vip, status, created,
            public_updated, private_updated, deleted)
        SELECT n, 'u', 'nick' || n, '', '', 0, '', 0, 0, n, n, n, n = 3 FROM
            (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) AS numbers""",
        """INSERT INTO chat (id, kind, name, owner, join_policy, avatar, avatar_hash, created, updated, version, size,
            seats, pair)
        VALUES (2, 'private', 'a、b', 0, 'closed', '', '', 1, 1, 1, 2, 2, '1:2'),
            (3, 'private', 'b、c', 0, 'closed', '', '', 1, 1, 1, 2, 2, '2:3'),
            (4, 'group', 'b、c', 0, 'closed', '', '', 1, 1, 1, 2, 2, NULL)""",
        """INSERT INTO member (chat, account, role, seat, first_index, unread_from, version)
        VALUES (2, 1, 1, 0, 1, 1, 1), (2, 2, 1, 1, 1, 1, 1), (3, 2, 1, 0, 1, 1, 1), (3, 3, 0, 1, 1, 1, 1),
            (4, 2, 1, 0, 1, 1, 1), (4, 3, 0, 1, 1, 1, 1)""",
    ]
    create_at("session", database_url, "0019", fill)
    upgrade("session", database_url)
    engine = make_engine(database_url)
    with engine.connect() as connection:
        names = {row.id: row.name for row in connection.execute(sa.text("SELECT id, name FROM chat WHERE id > 1"))}
    engine.dispose()
    assert names == {2: "a、b", 3: "nick2、nick3", 4: "b、c"}
