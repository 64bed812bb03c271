"""What of a picture an encoder sees."""

from PIL.Image import Image

MAX_ASPECT = 16
"""A picture longer than this many times its width is cropped to its middle, or scaling
its short side up would take gigabytes (10,000 x 3 pixels)."""


def cropped(image: Image) -> Image:
    """RETURNS (Image): the picture, or its `middle_box`."""
    width, height = image.size
    kept = middle_box(image)
    return image if kept == (0, 0, width, height) else image.crop(kept)


def middle_box(image: Image) -> tuple[int, int, int, int]:
    """What is left of a picture that is far longer than wide; most are whole.

    RETURNS (tuple[int, int, int, int]): left, top, right, bottom.
    """
    width, height = image.size
    keep = MAX_ASPECT * min(width, height)
    left, top = max(0, (width - keep) // 2), max(0, (height - keep) // 2)
    return left, top, left + min(width, keep), top + min(height, keep)
