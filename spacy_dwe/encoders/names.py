"""What the names of encoders begin with."""

LOCAL_DIR = "local-dir:"
"""open_clip's and timm's own scheme for a folder with a model."""

PICTURE_LIBRARIES = ("timm", "torchvision", "transformers")
"""What the name of a picture encoder begins with, before a colon."""
