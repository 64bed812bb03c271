"""Making and changing a KnowledgeBase: build, add, encode, repair, copy. The only room
where KnowledgeBase and encoders meet."""
