"""Names and facts of entities as arrays, and the search for names: what is derived from
the entities of one version, as a snapshot."""
