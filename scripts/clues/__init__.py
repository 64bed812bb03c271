"""A set of mentions that only text and picture together decide."""
