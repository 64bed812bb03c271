"""From documents to links: mentions, what the channels say of their candidates, batches
for the network, ranked candidates on spans. It knows spaCy's Doc, the KnowledgeBase,
the encoders and the network; none of them knows it."""
