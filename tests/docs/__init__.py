"""The pages: their tables, trees, links, commands and frames."""
