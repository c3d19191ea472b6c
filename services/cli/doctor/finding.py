"""The result of one check."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """`what` names the subject; `good` is None if this machine cannot check it; `text` describes the result and the
    remedy."""

    what: str
    good: bool | None
    text: str


def ok(what: str, text: str) -> Finding:
    return Finding(what, True, text)


def failed(what: str, wrong: str, advice: str) -> Finding:
    return Finding(what, False, f"{wrong}: {advice}")


def unknown(what: str, why: str) -> Finding:
    return Finding(what, None, why)
