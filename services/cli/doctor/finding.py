import msgspec


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `what`: the checked part. `good`: whether it is in order; None if this machine cannot
    check it. `text`: the result and the remedy."""

    what: str
    good: bool | None
    text: str


def ok(what: str, text: str) -> Finding:
    return Finding(what, True, text)


def failed(what: str, wrong: str, advice: str) -> Finding:
    return Finding(what, False, f"{wrong}: {advice[:1].lower()}{advice[1:]}")


def unknown(what: str, why: str) -> Finding:
    return Finding(what, None, why)
