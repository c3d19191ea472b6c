"""Detects that the message service does not answer, pure: messages are then rejected at once instead of after the
deadline, except for one submission a second that finds out whether the service is back."""

_OUTAGE_SECONDS = 4.0
"""A restart, or the death of one of several replicas, takes less."""
_PROBE_SECONDS = 1.0
_FORGOTTEN_SECONDS = 30.0
"""Without further attempts nobody knows whether the service is still away."""


class OutageDetector:
    """Times are the event loop's."""

    __slots__ = ("_failed_at", "_failing_since", "_probe_at")

    def __init__(self) -> None:
        self._failing_since: float | None = None
        """When the first attempt since the last answer began."""
        self._failed_at = 0.0
        """When the last one began."""
        self._probe_at = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether there was no answer since the last failed attempt."""
        return self._failing_since is not None

    def attempt_failed(self, began: float) -> None:
        """Nothing of the request was answered, or every answer was that the service is unavailable."""
        if self._failing_since is None:
            self._failing_since = began
        self._failed_at = began

    def seconds(self, now: float) -> float:
        """How long the service has been away, as far as is known; 0 for a short failure, or without recent attempts."""
        if self._failing_since is None or now - self._failed_at > _FORGOTTEN_SECONDS:
            return 0.0
        away = now - self._failing_since
        return away if away >= _OUTAGE_SECONDS else 0.0

    def answered(self) -> None:
        self._failing_since = None

    def rejects(self, now: float) -> bool:
        """Whether a submission is to be rejected at once."""
        if self._failing_since is None or now - self._failing_since < _OUTAGE_SECONDS:
            return False
        if now >= self._probe_at:
            self._probe_at = now + _PROBE_SECONDS
            return False
        return True
