"""`python -m spacy dwe init-config`: the config to train a linker with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DweError, Errors
from ..files import write_text
from ..settings import FACTORY
from .options import OverwriteOption

if TYPE_CHECKING:
    from thinc.api import Config

HEAD = """\
# Train a linker on documents.jsonl or .spacy files.
#
#   python -m spacy dwe init-config default.cfg
#   python -m spacy dwe kb build entities.jsonl my.kb --clip ViT-B-32-quickgelu --clip-weights openai
#   python -m spacy train default.cfg --output models/my --paths.train train.jsonl --paths.dev dev.jsonl --paths.kb my.kb
#
# Encoders are frozen and come from the KB. Mentions come from the documents; to train on
# those of a recogniser, source it, name it in annotating_components and set
# use_gold_ents = false.

"""  # noqa: E501

TRAINING = """
[paths]
train = null
dev = null
kb = null
image_root = null

[nlp]
batch_size = 256

[corpora]

[corpora.train]
@readers = "spacy-dwe.Corpus.v1"
path = ${paths.train}
image_root = ${paths.image_root}

[corpora.dev]
@readers = "spacy-dwe.Corpus.v1"
path = ${paths.dev}
image_root = ${paths.image_root}

[training]
patience = 0
max_steps = 1000
eval_frequency = 100
dropout = 0.0

[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 128

[training.optimizer]
@optimizers = "Adam.v1"
L2 = 0.001

[training.optimizer.learn_rate]
@schedules = "warmup_linear.v1"
warmup_steps = 30
total_steps = 1000
initial_rate = 0.001

[training.logger]
@loggers = "spacy-dwe.ConsoleLogger.v1"
progress_bar = "eval"
console_output = true

[training.score_weights]
nel_micro_p = null
nel_micro_r = null

[initialize]

[initialize.components]

[initialize.components.dwe_linker]

[initialize.components.dwe_linker.kb_loader]
@misc = "spacy-dwe.KBFromPath.v1"
path = ${paths.kb}
"""
"""What differs from spaCy's defaults; the rest is filled in."""


def init_config_cli(
    out: Annotated[Path, typer.Argument(help="File to write, such as my.cfg")],
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Code of the language, or xx for all")
    ] = "en",
    overwrite: OverwriteOption = False,
) -> None:
    """Write the recommended config to train a linker with, for `python -m spacy train`.

    All settings are in it, with their defaults.
    """
    from wasabi import Printer

    if out.exists() and not overwrite:
        raise DweError(Errors.E109.format(path=out))
    write_text(out, HEAD + section_by_section(training_config(lang)) + "\n")
    Printer().good(f"{out}: now train with `python -m spacy train {out}`, see its head")


def training_config(lang: str = "en") -> "Config":
    """RETURNS (Config): with everything filled in; `paths` are to be given."""
    from spacy import blank
    from spacy.util import load_model_from_config
    from thinc.api import Config

    nlp = blank(lang)
    nlp.add_pipe(FACTORY)
    given = Config().from_str(TRAINING, interpolate=False)
    config = nlp.config.merge(given)
    return load_model_from_config(config, auto_fill=True, validate=False).config


def section_by_section(config: "Config") -> str:
    """RETURNS (str): the config with each section before those within it, in spaCy's
    order; `Config.to_str` writes all of one depth before the next."""
    from spacy.util import CONFIG_SECTION_ORDER

    sections = config.to_str().strip().split("\n\n")
    names = [text[1 : text.index("]")].split(".") for text in sections]
    first = {".".join(name): place for place, name in enumerate(names)}

    def key(place: int) -> list[int]:
        name = names[place]
        within = [first[".".join(name[:n])] for n in range(2, len(name) + 1)]
        return [CONFIG_SECTION_ORDER.index(name[0]), *within]

    return "\n\n".join(sections[place] for place in sorted(range(len(names)), key=key))
