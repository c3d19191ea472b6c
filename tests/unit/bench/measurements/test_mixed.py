import random
from collections import Counter

import pytest

from bench.load.dialects import BY_NAME
from bench.measurements.mixed import WEIGHTS, MixedOptions, chat_members, drawn_dialects, mixed
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")


def test_every_dialect_is_there_by_its_weight() -> None:
    drawn = Counter(drawn_dialects(random.Random(1), 10_000))
    assert all(drawn[dialect] == pytest.approx(100 * weight, rel=0.2) for dialect, weight in WEIGHTS.items())
    assert set(drawn_dialects(random.Random(1), len(WEIGHTS))) == set(WEIGHTS) == set(BY_NAME)


def test_most_chats_are_small_and_no_user_is_alone() -> None:
    groups = chat_members(random.Random(1), 200, 100)
    sizes = Counter(map(len, groups))
    assert min(sizes) == 2
    assert sizes.most_common(1)[0][0] == 2
    assert max(sizes) > 20
    assert {member for group in groups for member in group} == set(range(200))
    assert all(len(set(group)) == len(group) for group in groups)


async def test_users_reconnect_and_miss_nothing(target: MeasuredSystem) -> None:
    day = MixedOptions(20, 10, 2, 150, rate=40, leaves_per_minute=20, away=0.3, warm_up=0.0, seconds=3.0)
    result = await mixed(target, ProgressLine(), day)
    assert result.passed, result
    assert result.measures["return"].count > 0
    assert result.measures["delivery"].count > 40
