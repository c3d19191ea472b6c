"""Splits texts into search terms, parses queries, and finds the places in a text that a query matches. There is no
input or output."""
