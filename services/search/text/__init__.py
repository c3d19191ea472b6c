"""Texts as the terms by which they are found, queries, and where a query matches a text. Pure."""
