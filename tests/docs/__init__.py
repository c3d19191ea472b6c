"""Tests the pages' tables, file trees, links, commands and frames."""
