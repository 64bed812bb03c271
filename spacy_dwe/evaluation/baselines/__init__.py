"""Simple rows that a linker is measured against, on its mentions and candidates."""
