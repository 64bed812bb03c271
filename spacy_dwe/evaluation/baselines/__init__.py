"""Simple rows that a linker is measured against, on the same mentions and candidates."""
