"""Draws pages: page parts, tables, plots, examples. What is shown is measured
elsewhere, mostly in `evaluation`."""
