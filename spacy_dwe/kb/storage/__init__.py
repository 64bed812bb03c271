"""A KnowledgeBase on disk: SQLite as the truth, versions, and the files of each."""
