"""Days as operators write them."""

from datetime import UTC, datetime

from local.options import OperatorError


def day_ms(day: str) -> int:
    """The beginning of a day (UTC), as in 2026-01-31. Raises OperatorError."""
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError as error:
        raise OperatorError(f"{day} is no day: write it as 2026-01-31") from error
