"""What a name is: how it is normalised, which forms it has in common with others, and
how like another it is. Search and scoring share this room."""
