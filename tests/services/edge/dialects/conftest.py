"""Property tests here are about what, never about how fast."""

from hypothesis import settings

settings.register_profile("dialects", deadline=None)
settings.load_profile("dialects")
