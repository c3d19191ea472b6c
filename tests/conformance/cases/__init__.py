"""The cases that a client of native must pass, one script each."""

from tests.conformance.cases import closing, login, order, returning, sending, tolerance

CASES = (*login.CASES, *order.CASES, *returning.CASES, *sending.CASES, *closing.CASES, *tolerance.CASES)
