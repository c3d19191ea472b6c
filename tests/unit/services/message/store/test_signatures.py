"""Signatures of chats: none lacks a term that the chat has; few seem to have one that it lacks."""

from hypothesis import given
from hypothesis import strategies as st

from services.message.store.signatures import bits, extended, sign


def may_have(signature: bytes, term: str) -> bool:
    return all(signature[position % len(signature)] >> bit & 1 for position, bit in bits(term))


@given(st.sets(st.text(max_size=5), max_size=300), st.sets(st.text(max_size=5), max_size=30))
def test_every_term_is_found(terms: set[str], others: set[str]) -> None:
    signature = sign(terms)
    assert signature is not None
    longer = extended(signature, others) or sign(terms | others)
    assert longer is not None
    assert all(may_have(longer, term) for term in terms | others)


def test_few_other_terms_seem_to_be_there() -> None:
    signature = sign({f"word{number}" for number in range(1_000)})
    assert signature is not None
    assert sum(may_have(signature, f"other{number}") for number in range(10_000)) < 400


def test_too_many_terms_have_no_signature() -> None:
    signature = sign({"one"})
    assert signature is not None
    assert extended(signature, (str(number) for number in range(500))) is None
    assert sign({str(number) for number in range(5_000)}) is None
