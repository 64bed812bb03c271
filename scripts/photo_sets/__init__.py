"""Sets of real photographs: nouns left out, other names, and what pictures do to links;
see scripts/photographs.py."""
