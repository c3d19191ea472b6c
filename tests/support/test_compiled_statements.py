from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import CacheStats


def test_a_second_engine_does_not_compile_a_statement_again(tmp_path: Path) -> None:
    statement = sa.select(sa.literal(str(tmp_path), sa.String).label("text"))
    found = []
    for number in range(2):
        engine = sa.create_engine(f"sqlite:///{tmp_path / str(number)}")
        with engine.connect() as connection:
            result = connection.execute(statement)
            found.append((result.context.cache_hit, result.scalar_one()))
        engine.dispose()
    assert found[1] == (CacheStats.CACHE_HIT, str(tmp_path))
