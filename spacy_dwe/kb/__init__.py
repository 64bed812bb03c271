"""The KnowledgeBase: entities, candidates for a mention, and what is known of both.

`index` finds names, `vectors` holds what encoders made of entities, `storage` is the
folder on disk with its one commit point. Nothing here runs an encoder; torch serves as
a library of arrays alone.
"""
