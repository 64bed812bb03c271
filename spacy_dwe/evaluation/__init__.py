"""Measures: labels against links (outcomes), metrics, whether a difference is chance
(significance), why decisions were wrong (causes), and rows to compare with (baselines).
A new metric belongs here; how pages show it does not."""
