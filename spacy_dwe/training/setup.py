"""From a KB and its encoders to the shapes of a network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..encoders.base import EDGES
from ..errors import DweError, Errors
from ..model.modalities import EncoderWidths, network_widths
from ..model.spec import NetworkSpec, QueryHead

if TYPE_CHECKING:
    from ..evidence import Evidence


def network_spec(
    evidence: "Evidence",
    channels: Sequence[str],
    settings: Mapping[str, Any],
    *,
    nil_is_labelled: bool,
) -> NetworkSpec:
    """Shapes of a network to train.

    evidence (Evidence): says which encoders and vector sets there are.
    channels (Sequence[str]): channels of the combiner.
    settings (Mapping[str, Any]): arguments of `spacy-dwe.DWE.v1`.
    nil_is_labelled (bool): NIL can learn what mentions of it look like.
    RETURNS (NetworkSpec): the shapes.
    RAISES (DweError): dwe is among the channels, and the KB has no vectors that a text
        encoder could be compared with; or no modality is left to read.
    """
    heads: dict[str, QueryHead] = {}
    text, clip = evidence.text_encoder, evidence.clip
    if "dwe" in channels:
        heads = _heads(evidence)
        if text is None or not heads:
            raise DweError(Errors.E506.format(kb=evidence.kb.path))
    text_width = text.width if text is not None and heads else 0
    image_dim = clip.dim if clip is not None and evidence.reads_images else 0
    widths: dict[str, int] = {}
    if heads:
        widths = network_widths(
            settings["modalities"],
            settings["without"],
            EncoderWidths(text_width, image_dim),
        )
    reads_edges = nil_is_labelled and settings["fit_combiner"] and "text" in channels
    return NetworkSpec(
        channels=tuple(channels),
        heads=heads,
        text_width=text_width,
        image_dim=image_dim,
        width=settings["width"],
        n_heads=settings["n_heads"],
        ffn_width=settings["ffn_width"],
        dropout=settings["dropout"],
        decoder=settings["decoder"],
        dwe_trained=False,
        head=settings["head"],
        gate=settings["gate"],
        modalities=widths,
        shared_text=text is clip and text_width == image_dim,
        read_mention=settings["read_mention"] and bool(heads),
        edge_width=EDGES * text.width if text is not None and reads_edges else 0,
    )


def _heads(evidence: "Evidence") -> dict[str, QueryHead]:
    """A head for each vector set that an encoder in use shares its space with."""
    text, clip = evidence.text_encoder, evidence.clip
    heads = {}
    for name, vectors in evidence.kb.vector_sets.items():
        in_clip = name.endswith("@clip")
        reads_text = text is not None and in_clip == (text is clip)
        reads_picture = in_clip and evidence.use_images
        if reads_text or reads_picture:
            heads[name] = QueryHead(
                dim=vectors.dim,
                text=reads_text,
                picture=reads_picture,
                of_pictures=vectors.field == "image",
            )
    return heads
