"""The page of `look`: each picture with the boxes drawn on it, as SVG."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DweError, Errors, Warnings
from ..images import ImageRef
from ..visualise.page import Frame, data_uri, frames, lay_out
from .errors import warning_lines
from .options import ClipWeightsOption, DeviceOption, chosen_encoders, takes_code

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..encoders.registry import LazyClipEncoder
    from ..encoders.visual.extractor import VisualExtractor
    from ..encoders.visual.findings import VisualEvidence
    from ..encoders.visual.objects import ObjectFinder

PICTURE_SIZE = (900, 700)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture with what was found on it; `picture` is a data URI."""

    name: str
    picture: str | None
    evidence: "VisualEvidence"
    frames: list[Frame]


def look_page(seen: "Sequence[tuple[Path, VisualEvidence]]", model: str) -> str:
    """RETURNS (str): HTML with its style and pictures inside, no script."""
    sheets = [_sheet(path, evidence) for path, evidence in seen]
    return lay_out("look.html", sheets=sheets, model=model)


def _sheet(path: Path, evidence: "VisualEvidence") -> Sheet:
    picture = data_uri(ImageRef(path=str(path)), PICTURE_SIZE)
    return Sheet(path.name, picture, evidence, frames(evidence))


@takes_code
def look_cli(
    images: Annotated[list[Path], typer.Argument(help="Pictures to look at")],
    clip: Annotated[
        str,
        typer.Option(
            "--clip", help="CLIP model: open_clip's name for it, or local-dir:PATH"
        ),
    ],
    clip_weights: ClipWeightsOption = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector", help="torchvision detector for regions, not CLIP's patches"
        ),
    ] = None,
    detector_weights: Annotated[
        str, typer.Option("--detector-weights", help="A file, or torchvision's name")
    ] = "DEFAULT",
    objects: Annotated[
        bool, typer.Option("--objects/--no-objects", help="Look for regions")
    ] = True,
    faces: Annotated[
        bool, typer.Option("--faces/--no-faces", help="Look for faces (extra: faces)")
    ] = True,
    scenes: Annotated[
        bool, typer.Option("--scenes/--no-scenes", help="Look for scene attributes")
    ] = True,
    yunet: Annotated[
        str | None, typer.Option("--yunet", help="YuNet's model file, to find faces")
    ] = None,
    object_bank: Annotated[
        str | None, typer.Option("--object-bank", help="Words for regions (.json)")
    ] = None,
    face_bank: Annotated[
        str | None, typer.Option("--face-bank", help="Words for faces (.json)")
    ] = None,
    scene_bank: Annotated[
        str | None, typer.Option("--scene-bank", help="Scene attributes (.json)")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the boxes drawn")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all of it (.jsonl)")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Show what is seen on pictures: regions, faces with a phrase, scene attributes.

    Boxes are in pixels of the upright picture. A picture that cannot be read is named
    and left out.
    """
    from ..encoders.visual.extractor import VisualExtractor
    from ..encoders.visual.faces import FaceFinder
    from ..encoders.visual.objects import DetectorRegions, PatchRegions
    from ..encoders.visual.scenes import SceneAttributes
    from ..files import require_writable, write_jsonl, write_text

    for path in (html, output):
        if path is not None:
            require_writable(path)
    finder: ObjectFinder | None = None
    if objects and detector:
        finder = DetectorRegions(detector, detector_weights, object_bank)
    elif objects:
        finder = PatchRegions(object_bank)
    extractor = VisualExtractor(
        finder,
        FaceFinder(yunet, face_bank) if faces else None,
        SceneAttributes(scene_bank) if scenes else None,
    )
    (encoder,) = chosen_encoders(None, clip, clip_weights, device).values()
    with warning_lines():
        seen = look(images, extractor, encoder)
    for path, evidence in seen:
        _print(path, evidence)
    if output is not None:
        write_jsonl(output, ({"image": str(p), **e.words()} for p, e in seen))
    if html is not None:
        write_text(html, look_page(seen, str(encoder.spec["model"])))


def look(
    paths: Sequence[Path], extractor: "VisualExtractor", encoder: "LazyClipEncoder"
) -> "list[tuple[Path, VisualEvidence]]":
    """Look at picture files, each different one once.

    RETURNS (list[tuple[Path, VisualEvidence]]): in their order, without those that
        cannot be read, of which a warning tells.
    RAISES (DweError): none can be read.
    """
    from ..encoders.cache import FeatureCache
    from ..images import ImageRef, content_hash, decode, read_bytes

    refs: dict[str, ImageRef] = {}
    hashes: dict[Path, str] = {}

    def leave_out(path: object, error: DweError) -> None:
        message = Warnings.W201.format(image=path, reason=error)
        warnings.warn(message, stacklevel=2)

    for path in dict.fromkeys(paths):
        ref = ImageRef(path=str(path))
        try:
            hashes[path] = content_hash(read_bytes(ref))
        except DweError as error:
            leave_out(path, error)
            continue
        refs.setdefault(hashes[path], ref)

    def open_picture(key: str) -> "Image":
        return decode(read_bytes(refs[key]), refs[key].name)

    def unreadable(key: str, error: DweError) -> None:
        leave_out(refs[key].name, error)

    keys = [(key, ()) for key in refs]
    seen = FeatureCache().sights(extractor, encoder, keys, open_picture, unreadable)
    found = [(path, seen[key, ()]) for path, key in hashes.items() if (key, ()) in seen]
    if not found:
        raise DweError(Errors.E215.format(n=len(paths)))
    return found


def _print(path: Path, evidence: "VisualEvidence") -> None:
    from wasabi import msg

    width, height = evidence.size
    msg.text(f"{path} ({width} x {height})")
    rows = [
        *(
            ("region", region.words, f"{region.score:.2f}", _box(region.box))
            for region in evidence.regions
        ),
        *(
            ("face", face.phrase, f"{face.score:.2f}", _box(face.box))
            for face in evidence.faces
        ),
        *(
            (scene.kind, scene.words, f"{scene.score:.2f}", "")
            for scene in evidence.scenes
        ),
    ]
    if rows:
        header = ("", "words", "score", "left, top, right, bottom")
        msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "l"))
    else:
        msg.text("Nothing found")


def _box(box: Sequence[float]) -> str:
    return ", ".join(f"{x:.0f}" for x in box)
