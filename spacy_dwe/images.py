"""References to pictures, which nobody opens before they are read; what becomes of them
then; and the boxes that come with them.

`image_refs` takes whatever a user calls a picture; `load` reads and decodes one.
"""

import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import LOGIN, DweError, Errors

if TYPE_CHECKING:
    from PIL.Image import Image

# Only formats decoded in this process: Pillow's EPS plug-in starts Ghostscript.
FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"),
    *("PPM", "ICO", "TGA"),
)
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
_ORIENTATION, _LYING = 0x0112, range(5, 9)
"""EXIF tag, and its values for pictures that are turned by a quarter."""
URL_SCHEMES = ("http://", "https://")


class GivenBox(NamedTuple):
    """A rectangle in pixels of the upright picture; right and bottom are outside.

    label (str): what it shows; empty if nobody said.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""

    @property
    def row(self) -> list[Any]:
        """RETURNS (list[Any]): its JSON form, of which `given_boxes` makes it again."""
        return list(self if self.label else self[:4])


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture that need not be there, or be readable, until someone decodes it.

    path (str | None): file path, or http(s) URL.
    data (bytes | None): the encoded picture; exactly one of path and data is set.
    sha256 (str | None): content hash; always known for data.
    boxes (tuple[GivenBox, ...]): what to look at on it, if somebody said.
    """

    path: str | None = None
    data: bytes | None = None
    sha256: str | None = None
    boxes: tuple[GivenBox, ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise DweError(Errors.E201)
        if self.data is not None and self.sha256 is None:
            object.__setattr__(self, "sha256", content_hash(self.data))

    @property
    def name(self) -> str:
        """What messages call it: the path, or the first digits of the hash."""
        return LOGIN.sub("", self.path or f"picture {(self.sha256 or '')[:12]}")

    @property
    def is_url(self) -> bool:
        return self.path is not None and self.path.lower().startswith(URL_SCHEMES)


def image_refs(value: Any, owner: str = "") -> tuple[ImageRef, ...]:
    """References to one picture or to several. Nothing is opened here.

    value (Any): path (str or Path), URL, encoded bytes, PIL image, ImageRef, a mapping
        of "path" or "data" to one of these and of "boxes" to a list as of
        `given_boxes`; a list or tuple of these; None means no picture.
    owner (str): what an error calls the document.
    RETURNS (tuple[ImageRef, ...]): the references, in order.
    RAISES (DweError): one is none of these, or has a box that is none.
    """
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(_image_ref(item, owner) for item in value)
    return (_image_ref(value, owner),)


def given_boxes(value: Any, name: str) -> tuple[GivenBox, ...]:
    """Boxes from what a caller gives.

    value (Any): a list of (left, top, right, bottom) or (left, top, right, bottom,
        label); None = no boxes.
    name (str): what an error calls the picture.
    RAISES (DweError): with the box that is none.
    """
    if value is None:
        return ()
    if not _is_row(value):
        raise DweError(Errors.E209.format(name=name, box=value))
    return tuple(_given_box(box, name) for box in value)


def image_entry(ref: ImageRef) -> str | dict[str, Any] | None:
    """RETURNS (str | dict[str, Any] | None): a picture's entry in documents.jsonl, its
    path or an object with path and boxes; None for encoded bytes."""
    if ref.path is None or not ref.boxes:
        return ref.path
    return {"path": ref.path, "boxes": [box.row for box in ref.boxes]}


def read_bytes(ref: ImageRef, *, fetch_urls: bool = False) -> bytes:
    """The encoded picture. A DweError names what cannot be read.

    ref (ImageRef): the picture.
    fetch_urls (bool): download http(s) references; without it they are an error, so
        that linking a document never opens a connection by surprise.
    """
    if ref.data is not None:
        return ref.data
    assert ref.path is not None
    if ref.is_url:
        if not fetch_urls:
            raise DweError(Errors.E203.format(url=ref.name))
        from .fetching import fetch

        return fetch(ref.path)
    try:
        return Path(ref.path).read_bytes()
    except FileNotFoundError:
        raise DweError(Errors.E001.format(path=ref.path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DweError(Errors.E202.format(name=ref.path, reason=reason)) from None


def content_hash(data: bytes) -> str:
    """SHA-256 of the encoded picture, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, name: str = "picture", shortest: int | None = None) -> "Image":
    """Decode a picture: its first frame, upright, in RGB, transparency on white.

    data (bytes): the encoded picture.
    name (str): what an error calls it.
    shortest (int | None): pixels that are enough for its shorter side: a JPEG is then
        decoded at a half, a quarter or an eighth of its size, if that leaves as many,
        in a fraction of the time. None = all there are: boxes are in these.
    RETURNS (Image): mode RGB. A picture with more pixels than Pillow's own
        `Image.MAX_IMAGE_PIXELS` is refused before any pixel is decoded.
    """
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if limit is not None and width * height > limit:
                raise DweError(
                    Errors.E204.format(
                        name=name, width=width, height=height, limit=limit
                    )
                )
            if shortest is not None:
                _draft(image, shortest)
            image.load()
            return _to_rgb(_upright(image))
    except DweError:
        raise
    except UnidentifiedImageError:
        reason = "empty file" if not data else "not a picture in a supported format"
        raise DweError(Errors.E202.format(name=name, reason=reason)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DweError(Errors.E202.format(name=name, reason=error)) from None
    except Exception as error:
        # Pillow's plug-ins raise whatever a broken file made them trip over: OSError,
        # SyntaxError, ValueError, struct.error, IndexError, zlib.error, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DweError(Errors.E202.format(name=name, reason=reason)) from None


def file_suffix(data: bytes, name: str = "picture") -> str:
    """RETURNS (str): what the name of a picture's file ends in, by its content.
    RAISES (DweError): it cannot be decoded, see `decode`.
    """
    from PIL import Image

    decode(data, name)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        kind = str(image.format)
    return _SUFFIXES.get(kind, f".{kind.lower()}")


def decoded_bytes(data: bytes, shortest: int | None = None) -> int:
    """RETURNS (int): memory that `decode` needs for a picture, of which no pixel is
    read; 0 for what is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if shortest is not None:
                _draft(image, shortest)
            return 3 * image.width * image.height
    except Exception:
        # As in `decode`, which says what is wrong.
        return 0


def upright_size(data: bytes) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): width and height that `decode` gives a picture, of
    which no pixel is read if its format allows; zeros for what is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _LYING
    except Exception:
        # As in `decode`, which says what is wrong.
        return 0, 0
    return (height, width) if turned else (width, height)


def load(ref: ImageRef, *, fetch_urls: bool = False) -> tuple[str, "Image"]:
    """Read and decode one picture.

    RETURNS (tuple[str, Image]): its content hash and the decoded picture.
    """
    data = read_bytes(ref, fetch_urls=fetch_urls)
    return ref.sha256 or content_hash(data), decode(data, ref.name)


def resolve(
    pictures: Iterable[str | ImageRef], root: str | Path | None
) -> tuple[ImageRef, ...]:
    """References for the picture names of a file; relative ones start at `root`."""
    refs = []
    for picture in pictures:
        ref = ImageRef(path=picture) if isinstance(picture, str) else picture
        if root is not None and ref.path is not None and not ref.is_url:
            ref = replace(ref, path=str(Path(root) / ref.path))
        refs.append(ref)
    return tuple(refs)


def _image_ref(value: Any, owner: str) -> ImageRef:
    if isinstance(value, ImageRef):
        return value
    if isinstance(value, Mapping):
        named = [value[key] for key in ("path", "data") if value.get(key) is not None]
        if len(named) != 1 or isinstance(named[0], Mapping):
            raise DweError(Errors.E200.format(value=f"an object {dict(value)!r:.60}"))
        ref = _image_ref(named[0], owner)
        name = f"{ref.name} of {owner}" if owner else ref.name
        return replace(ref, boxes=given_boxes(value.get("boxes"), name))
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, bytes) or not path:
            raise DweError(Errors.E200.format(value=repr(path)))
        return ImageRef(path=path)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ImageRef(data=bytes(value))
    if _is_pil(value):
        buffer = io.BytesIO()
        _to_rgb(value).save(buffer, format="PNG", compress_level=1)
        return ImageRef(data=buffer.getvalue())
    raise DweError(Errors.E200.format(value=f"a {type(value).__name__}"))


def _given_box(box: Any, name: str) -> GivenBox:
    try:
        if not _is_row(box):
            raise TypeError
        *sides, label = box if len(box) == 5 else (*box, "")
        left, top, right, bottom = map(float, sides)
        finite = all(map(math.isfinite, (left, top, right, bottom)))
        if not (finite and left < right and top < bottom):
            raise ValueError
        return GivenBox(left, top, right, bottom, " ".join(str.split(label)))
    except (TypeError, ValueError):
        raise DweError(Errors.E209.format(name=name, box=box)) from None


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_pil(value: Any) -> bool:
    import sys

    # A PIL image cannot exist before PIL was imported.
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def _draft(image: "Image", shortest: int) -> None:
    width, height = image.size
    scale = shortest / max(1, min(width, height))
    if scale < 1:
        image.draft(None, (math.ceil(scale * width), math.ceil(scale * height)))


def _upright(image: "Image") -> "Image":
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # A broken EXIF block says nothing of the pixels, which are fine.
        return image


def _to_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _eight_bits(image: "Image") -> "Image":
    """16-bit, 32-bit and float greys. Pillow's own conversion clips them to white."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    if image.mode.startswith("I;16") or (
        image.mode == "I" and values.min() >= 0 and 255 < values.max() <= 65535
    ):
        values = values / 257.0
    elif values.min() < 0 or values.max() > 255:
        values = (values - values.min()) / max(np.ptp(values), 1.0) * 255.0
    elif image.mode == "F" and values.max() <= 1.0:
        values = values * 255.0
    return Image.fromarray(np.rint(values).astype(np.uint8))
