"""The factory `dwe_linker`: its settings, their defaults and what they mean."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from thinc.api import Config, Model

if TYPE_CHECKING:
    from .pipeline import DweLinker

DEFAULT_CONFIG = """
[dwe_linker]
kb = null
channels = ["name", "prior", "facts", "text", "image", "dwe"]
n_candidates = 100
top_k = 10
threshold = 0.0
use_images = true
strict_images = false
fetch_urls = false
use_gold_ents = true
overwrite = true
device = "auto"
feature_cache = null
clip = null
text_encoder = null
visual = null
generate_candidates = {"@misc": "spacy-dwe.NameCandidates.v1"}
scorer = {"@scorers": "spacy-dwe.LinkerScorer.v1"}

[dwe_linker.model]
@architectures = "spacy-dwe.DWE.v1"
"""


@Language.factory(
    "dwe_linker",
    requires=["doc.ents"],
    assigns=["token.ent_kb_id", "span._.kb_candidates"],
    default_config=Config().from_str(DEFAULT_CONFIG)["dwe_linker"],
    default_score_weights={
        "nel_top1": 1.0,
        "nel_mrr": 0.0,
        "nel_recall_100": None,
        "nel_nil_f": 0.0,
        "nel_micro_p": 0.0,
        "nel_micro_r": 0.0,
        "nel_micro_f": 0.0,
    },
)
def make_dwe_linker(
    nlp: Language,
    name: str,
    model: Model,
    kb: str | None,
    channels: list[str],
    n_candidates: int,
    top_k: int,
    threshold: float,
    use_images: bool,
    strict_images: bool,
    fetch_urls: bool,
    use_gold_ents: bool,
    overwrite: bool,
    device: str,
    feature_cache: str | None,
    clip: Any | None,
    text_encoder: Any | None,
    visual: Any | None,
    generate_candidates: Callable,
    scorer: Callable | None,
) -> "DweLinker":
    """Construct a multimodal entity linker. Loads nothing: no weights, no KB.

    model (Model): the network, see `spacy-dwe.DWE.v1`.
    kb (str | None): path of the KnowledgeBase; None = set by `load_kb`, by
        `[initialize] kb_loader` or by what was saved with the pipeline.
    channels (list[str]): evidence to use, of name, prior, facts, text, image, dwe.
    n_candidates (int): candidates scored a mention.
    top_k (int): candidates kept on the span.
    threshold (float): a link needs at least this probability, else NIL.
    use_images (bool): whether to read pictures at all.
    strict_images (bool): make an unreadable picture an error instead of a warning.
    fetch_urls (bool): download pictures given by URL; linking opens no connection
        otherwise.
    use_gold_ents (bool): train on the reference's entities; otherwise on those that
        the pipeline's annotating components found.
    overwrite (bool): replace a kb_id that an entity already has.
    device (str): "auto" (CUDA if torch sees one), "cpu" or "cuda".
    feature_cache (str | None): folder for what encoders put out, so that other runs
        need not encode the same texts and pictures again; None = the one that the
        variable DWE_FEATURE_CACHE names, else memory alone.
    clip (ClipEncoder | None): None = the one the KB was built with.
    text_encoder (TextEncoder | None): None = the one the KB was built with.
    visual (VisualExtractor | None): objects, faces and scenes to look for on pictures,
        for the dwe channel; None = it reads pictures as a whole.
    generate_candidates (Callable): finds candidates, `CandidateGenerator`.
    scorer (Callable | None): scores examples.
    """
    # Not above: importing the component registers this factory.
    from .pipeline import DweLinker

    return DweLinker(
        nlp.vocab,
        model,
        name,
        kb=kb,
        channels=channels,
        n_candidates=n_candidates,
        top_k=top_k,
        threshold=threshold,
        use_images=use_images,
        strict_images=strict_images,
        fetch_urls=fetch_urls,
        use_gold_ents=use_gold_ents,
        overwrite=overwrite,
        device=device,
        feature_cache=feature_cache,
        clip=clip,
        text_encoder=text_encoder,
        visual=visual,
        generate_candidates=generate_candidates,
        scorer=scorer,
    )
