"""Tests the lists that a client stores, on both databases.

A client gets a list only if it differs from the one that the client has.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from unittest.mock import Mock

import pytest

from services.session.service.friends import Friends
from services.session.store import own_settings, profiles
from shared.contract.own_lists import LISTS, GetOwnLists, OwnLists
from shared.contract.own_settings import OwnSettings, SetOwnSettings
from shared.settings import Settings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness


async def lists(store: StoreHarness, **known: int) -> OwnLists:
    return await Friends(store.database, Mock(), Settings()).own_lists(GetOwnLists(known, ANN))


async def rename(store: StoreHarness) -> None:
    change = partial(profiles.set_profile, account=BOB, values={"nickname": "Bert"}, now=store.now)
    await store.database.write(change)


async def set_level(store: StoreHarness) -> None:
    await store.database.write(partial(own_settings.change, request=SetOwnSettings(level="none", actor=ANN)))


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("friends", rename),
        ("friends", lambda store: store.end_friendships(ANN)),
        ("requests", lambda store: store.request_friendship(DAN, ANN, "hello")),
        ("blocks", lambda store: store.set_blocked(ANN, DAN)),
        ("settings", set_level),
    ],
)
async def test_only_the_list_that_has_changed_comes(
    populated: StoreHarness, name: str, act: Callable[[StoreHarness], Awaitable[object]]
) -> None:
    await populated.befriend(ANN, BOB)
    first = await lists(populated, **dict.fromkeys(LISTS, 0))
    assert sorted(first.changed) == sorted(LISTS)
    assert (first.blocks, first.settings) == ([], OwnSettings())
    assert [friend for friend, _ in first.friends or []] == [BOB]
    assert await lists(populated, **first.changed) == OwnLists()
    await act(populated)
    assert [*(await lists(populated, **first.changed)).changed] == [name]
    await populated.befriend(BOB, CEM)
    assert [*(await lists(populated, **first.changed)).changed] == [name]


async def test_a_list_that_is_not_wanted_or_not_known_does_not_come(populated: StoreHarness) -> None:
    found = await lists(populated, blocks=0, changed=0, chats=0)
    assert [*found.changed] == ["blocks"]
