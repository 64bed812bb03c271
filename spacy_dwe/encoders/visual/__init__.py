"""What is seen on parts of a picture: objects, faces and scenes, each by its finder.
What belongs here turns decoded pictures into `findings`, vectors with words."""
