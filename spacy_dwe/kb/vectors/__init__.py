"""Vector sets, one a field of entities and a space, and search among them."""
