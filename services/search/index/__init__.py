"""The index, which is made with the library Tantivy. Only this package uses Tantivy."""
