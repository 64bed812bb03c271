"""Studies: variants trained with several seeds, and which differences are more than
chance."""
