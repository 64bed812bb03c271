"""Training: labels and targets, weights fitted to all mentions at once, calibration,
the state of a run, and what `spacy train` reads and shows. Losses are of the model."""
