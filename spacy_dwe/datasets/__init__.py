"""Reads published data sets: a file for each layout, what they have in common, and the
statistics of a converted folder. The interchange format is core: `documents.py`."""
