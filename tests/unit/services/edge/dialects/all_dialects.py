"""All dialects of the registry, and the sample dialect of docs/develop/dialect-tutorial.md, which passes all tests of
dialects.
"""

from services.edge.dialects.registry import DIALECTS, Dialects, Entry
from tests.unit.services.edge.dialects.sample_dialect import SampleIrc, detects

ALL_DIALECTS: Dialects = (*DIALECTS, Entry("sample-irc", "/ws/sample-irc", "sample.irc", SampleIrc, detects))
