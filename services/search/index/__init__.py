"""The index in Tantivy: the only code that reaches it."""
