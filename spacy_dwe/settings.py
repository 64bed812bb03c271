"""Settings of the component and of its network: each with its default, what it means
and what it may be, once. Configs, functions and checks follow from them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import cached_property
from inspect import Parameter, signature
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from .errors import DweError, Errors

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

FACTORY = "dwe_linker"
"""What configs call the component."""
CHANNELS = ("name", "prior", "facts", "text", "image", "dwe")
PLAIN: dict[Any, str] = {
    bool: "true or false",
    str: "text",
    Callable: "a registered function",
    Mapping: "a block of names",
}
DEVICE = re.compile(r"[a-z]+(:\d+)?")


def number(default: float, least: float = 0, most: float | None = None) -> Any:
    """RETURNS (Any): a field with a range."""
    return field(default=default, metadata={"least": least, "most": most})


def choice(default: str, *others: str) -> Any:
    """RETURNS (Any): a field that is one of some words."""
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What settings share: they are checked whenever they are made, and so whenever
    one is changed by `dataclasses.replace`."""

    def __post_init__(self) -> None:
        """RAISES (DweError): a setting has a value that it cannot have."""
        for each in fields(self):
            name, value = each.name, getattr(self, each.name)
            _expect(name, value, _mistake(value, each.type, **each.metadata))
            choices = each.metadata.get("choices", (value,))
            if value not in choices:
                known = ", ".join(choices)
                raise DweError(
                    Errors.E517.format(name=name, value=value, choices=known)
                )


@dataclass(frozen=True, kw_only=True)
class LinkerSettings(Settings):
    """Settings of `dwe_linker`. Each is an attribute of the component, too, and can be
    changed at any time.

    kb (str | None): path of the KnowledgeBase; None = set by `load_kb`, by
        `[initialize] kb_loader` or by what was saved with the pipeline.
    channels (list[str]): evidence to use, of name, prior, facts, text, image, dwe.
    more_channels (Mapping[str, Any]): channels from outside, by name, used beside those
        of `channels`; each a registered object.
    n_candidates (int): candidates scored a mention.
    top_k (int): candidates kept on the span.
    threshold (float): a link needs at least this probability, else NIL.
    kb_coverage (float | None): share of the mentions whose entity the KB holds, which
        moves NIL's score; 1 = all, the closed world: what has a candidate is linked; 0
        = none. None = as in the data that NIL was fitted to; see docs/training.md.
    use_images (bool): whether to read pictures at all.
    strict_images (bool): make an unreadable picture an error instead of a warning.
    fetch_urls (bool): download pictures given by URL; linking opens no connection
        otherwise.
    use_gold_ents (bool): train on the reference's entities; otherwise on those that
        the pipeline's annotating components found.
    overwrite (bool): a link replaces another that a mention already has; otherwise only
        "NIL" and nothing are replaced. "NIL" replaces no link but the linker's own.
    labels_keep (list[str]): labels of mentions to link, empty = all. Mentions without a
        label, or "ENTITY" as those of documents.jsonl without a type, are always kept.
    labels_discard (list[str]): labels of mentions not to link, of those that are kept.
    spans_key (str | None): link the spans of `doc.spans[spans_key]` instead of
        `doc.ents`.
    candidates_attr (str): custom attribute of a Span that the candidates are kept
        under; linkers that share one sign theirs, see `KBCandidate.linker`.
    device (str): "auto" (CUDA if torch sees one), "cpu" or "cuda".
    feature_cache (str | None): folder for what encoders put out, so that other runs
        need not encode the same texts and pictures again; "" = memory alone; None = the
        one that the variable DWE_FEATURE_CACHE names. Where that is not set, training
        and commands keep it beside the KB, in KB.features, and other linking in memory.
    clip (ClipEncoder | None): None = the one the KB was built with.
    text_encoder (TextEncoder | None): None = the one the KB was built with.
    visual (VisualExtractor | None): objects, faces and scenes to look for on pictures,
        for the dwe channel, and objects of a detector for the image channel, too; None
        = pictures count as a whole, and by the boxes that come with them.
    generate_candidates (Callable): finds candidates, `CandidateGenerator`.
    scorer (Callable | None): scores examples.
    """

    kb: str | None = None
    channels: list[str] | tuple[str, ...] = CHANNELS
    more_channels: Mapping[str, Any] = field(default_factory=dict)
    n_candidates: int = number(100, least=1)
    top_k: int = number(10)
    threshold: float = number(0.0, most=1)
    kb_coverage: float | None = field(default=None, metadata={"most": 1})
    use_images: bool = True
    strict_images: bool = False
    fetch_urls: bool = False
    use_gold_ents: bool = True
    overwrite: bool = True
    labels_keep: list[str] | tuple[str, ...] = ()
    labels_discard: list[str] | tuple[str, ...] = ()
    spans_key: str | None = None
    candidates_attr: str = "kb_candidates"
    device: str = "auto"
    feature_cache: str | None = None
    clip: Any | None = None
    text_encoder: Any | None = None
    visual: Any | None = None
    generate_candidates: Callable[..., Any] = field(
        metadata={"block": {"@misc": "spacy-dwe.NameCandidates.v1"}}
    )
    scorer: Callable[..., Any] | None = field(
        default=None, metadata={"block": {"@scorers": "spacy-dwe.LinkerScorer.v1"}}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not DEVICE.fullmatch(self.device):
            _expect("device", self.device, '"auto", "cpu", "cuda" or such as "cuda:1"')
        for name in ("channels", "labels_keep", "labels_discard"):
            values = getattr(self, name)
            is_list = isinstance(values, (list, tuple))
            if not is_list or not all(isinstance(value, str) for value in values):
                _expect(name, values, "a list of names")
            object.__setattr__(self, name, tuple(values))
        if not self.candidates_attr.isidentifier():
            name = "a name that Python allows"
            _expect("candidates_attr", self.candidates_attr, name)
        if not self.channels and not self.more_channels:
            known = ", ".join(CHANNELS)
            raise DweError(Errors.E500.format(channels="(none)", known=known))

    @cached_property
    def of_evidence(self) -> "LinkerSettings":
        """RETURNS (LinkerSettings): equal for settings by which the same evidence is
        gathered: what matters only after it has its default."""
        later = (
            *("top_k", "threshold", "kb_coverage", "candidates_attr"),
            *("use_gold_ents", "overwrite", "scorer"),
        )
        rest: dict[str, Any] = {
            each.name: each.default for each in fields(self) if each.name in later
        }
        return replace(self, **rest)


@dataclass(frozen=True, kw_only=True)
class DweSettings(Settings):
    """Settings of the DWE network and the combiner, `spacy-dwe.DWE.v1`.

    width (int): width of the network, d in the paper.
    n_heads (int): attention heads, h.
    ffn_width (int): inner width of feed-forward networks, f.
    dropout (float): dropout in the network. The paper's code uses .4.
    decoder (bool): enhancers end in a Transformer decoder layer; otherwise in a mean.
    states (str): "tokens" gives the network token states of mention and context;
        "pooled" their means (faster; each enhancer is then an MLP).
    channel_dropout (float): probability of masking a channel of a training mention,
        other than its name.
    nil_dropout (float): share of training mentions whose gold is taken out of their
        candidates to teach NIL; used only where no mention is labelled NIL.
    info_nce_weight (float): weight of `loss` on the dwe cosine beside the main loss.
    fit_combiner (bool): start from weights of the features that fit all training
        mentions, found by L-BFGS, instead of the untrained ones. Where mentions are
        labelled NIL, NIL learns by it from the words at a mention's edges, too.
    combiner_rate (float): learning rate of the combiner, as a multiple.
    fit_pictures (bool): queries that are compared with entities' pictures start from a
        map of the mention's own, fitted to all training pictures, by which counts less
        what varies among pictures of the same entity; otherwise from their vectors.
    kb_pictures (float): pictures of the KB that are further queries of `loss` in each
        batch, each under a name of its entity, as a share of its mentions. None is
        compared with itself.
    other_pictures (float): share of training mentions with pictures that get those of
        another mention instead: their gold stays where the text says it, elsewhere
        they are NIL.
    head (str): "linear", no network, but a residual linear map of the frozen vectors;
        "dwe", the network of the paper's figure; "plain", what the authors' released
        code computes. Saved weights keep the head that they were trained with.
    read_mention (bool): the linear head reads the mention's own token states, too; the
        others always do. It then learns which entity a name means in which company:
        better where the mentions to link share entities with those trained on, worse
        where they do not.
    gate (bool): attributes are fused by a gate; otherwise added.
    modalities (Mapping[str, Modality]): further modalities by name, beside text, vision
        and attributes; one of these names replaces it. Read by the head "dwe" alone.
    without (list[str]): modalities to leave out: a new network gets no part for
        them, and to one that has it they are absent.
    raw_image (bool): vision reads each whole picture, not its regions and faces, and no
        scene attributes; the network keeps its size.
    loss (str): "info_nce", "triplet" or "n_pair", on the dwe cosine.
    margin (float): of the triplet loss.
    negatives (str): "all" candidates are negatives of `loss`, or "train_golds" only:
        entities never seen as a gold are then not learned to be wrong. The main loss
        reads all candidates in either case.
    rare_word_negatives (int): further negatives of `loss` for each mention, drawn from
        the entities that share a rare word of the gold's description.
    a_align_weight, s_align_weight (float): weights of the alignments of faces with
        image regions and of the picture's mention with the text's.
    precision (str): "bf16" on a GPU and fp32 elsewhere, or "fp32".
    """

    width: int = number(512, least=1)
    n_heads: int = number(8, least=1)
    ffn_width: int = number(2048, least=1)
    dropout: float = number(0.4, most=1)
    decoder: bool = True
    states: str = choice("tokens", "pooled")
    channel_dropout: float = number(0.15, most=1)
    nil_dropout: float = number(0.1, most=1)
    info_nce_weight: float = number(1.0)
    fit_combiner: bool = True
    combiner_rate: float = number(20.0)
    fit_pictures: bool = True
    kb_pictures: float = number(1.0)
    other_pictures: float = number(0.1, most=1)
    head: str = choice("linear", "dwe", "plain")
    read_mention: bool = False
    gate: bool = True
    modalities: Mapping[str, Any] = field(default_factory=dict)
    without: list[str] | tuple[str, ...] = ()
    raw_image: bool = False
    loss: str = choice("info_nce", "triplet", "n_pair")
    margin: float = number(0.5)
    negatives: str = choice("all", "train_golds")
    rare_word_negatives: int = number(0)
    a_align_weight: float = number(0.1)
    s_align_weight: float = number(0.1)
    precision: str = choice("bf16", "fp32")


def defaults(settings: type[Settings]) -> dict[str, Any]:
    """What a config says where nothing else is said.

    settings (type[Settings]): a dataclass.
    RETURNS (dict[str, Any]): JSON, with blocks for what registered functions make.
    """
    return {
        each.name: each.metadata.get("block", _default(each))
        for each in fields(settings)
    }


def takes(settings: type[Settings]) -> Callable[[F], F]:
    """Decorate a function that has `**settings: Any`: its signature names the fields
    instead, so that configs are filled with the defaults, and names and types that the
    fields do not have are refused.

    settings (type[Settings]): a dataclass.
    RETURNS (Callable): decorates.
    """
    named = [
        Parameter(
            each.name,
            Parameter.KEYWORD_ONLY,
            default=_default(each),
            annotation=each.type,
        )
        for each in fields(settings)
    ]

    def decorate(function: F) -> F:
        own = signature(function)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        vars(function)["__signature__"] = own.replace(parameters=[*kept, *named])
        return function

    return decorate


def _expect(name: str, value: Any, expected: str) -> None:
    if expected:
        raise DweError(
            Errors.E514.format(name=name, value=repr(value), expected=expected)
        )


def _default(each: Field[Any]) -> Any:
    """As a config has it: a list where the field is a tuple."""
    if each.default_factory is not MISSING:
        return each.default_factory()
    if isinstance(each.default, tuple):
        return list(each.default)
    return Parameter.empty if each.default is MISSING else each.default


def has_attributes(
    settings: type[Settings], but: Sequence[str] = ()
) -> Callable[[C], C]:
    """Decorate a class whose objects hold `settings`: each field is read and changed as
    an attribute, which makes and checks them anew.

    settings (type[Settings]): a dataclass.
    but (Sequence[str]): fields that are something else there.
    RETURNS (Callable): decorates.
    """

    def decorate(holder: C) -> C:
        for each in fields(settings):
            if each.name not in but:
                setattr(holder, each.name, _attribute(each.name))
        return holder

    return decorate


def _attribute(name: str) -> property:
    def read(holder: Any) -> Any:
        value = getattr(holder.settings, name)
        if isinstance(value, Mapping):
            return dict(value)
        return list(value) if isinstance(value, tuple) else value

    def change(holder: Any, value: Any) -> None:
        holder.settings = replace(holder.settings, **{name: value})

    return property(read, change)


def _mistake(
    value: Any,
    kind: Any,
    least: float = 0,
    most: float | None = None,
    **other_rules: Any,
) -> str:
    """RETURNS (str): what the value of a plain type should be; empty = it is."""
    kind, *others = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and NoneType in others:
        return ""
    kind = get_origin(kind) or kind
    if kind in PLAIN:
        return "" if isinstance(value, kind) else PLAIN[kind]
    if kind not in (int, float):
        return ""
    is_number = isinstance(value, Integral if kind is int else Real)
    if not is_number or isinstance(value, bool):
        return "a whole number" if kind is int else "a number"
    if most is not None and not least <= value <= most:
        return f"from {least} to {most}"
    return "" if value >= least else f"at least {least}"
