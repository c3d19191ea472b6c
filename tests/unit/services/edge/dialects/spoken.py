"""The dialects of the registry, and one more that is written as docs/adding-a-dialect.md says: what holds for every
dialect, holds for it."""

from services.edge.dialects.registry import DIALECTS, Dialects, Entry
from tests.unit.services.edge.dialects.sample_dialect import Telegraph, detects

SPOKEN: Dialects = (
    *DIALECTS,
    Entry("telegraph", "/ws/telegraph", "telegraph", Telegraph, detects),
)
