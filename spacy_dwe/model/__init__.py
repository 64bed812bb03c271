"""The network: what it reads, its parts, its losses, and the shim that thinc holds it
by. It gets columns as data, and knows neither the KnowledgeBase nor pictures."""
