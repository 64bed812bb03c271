"""No weight of a network that is trained stays as it was drawn."""

from pathlib import Path

import pytest
from drawn_faces import drawn_face
from spacy.training import Example
from spacy.util import load_config
from tiny_world import COLOURS, PLACES, linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {"width": 32, "n_heads": 2, "ffn_width": 32, "dropout": 0.0}
GROUNDS = {"red": (150, 60, 60), "blue": (60, 60, 150)}
HAIRS = {"red": (60, 45, 40), "blue": (200, 170, 90)}


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """Path of a picture with a face, before a ground of a colour."""
    folder = tmp_path_factory.mktemp("portraits")
    for colour in COLOURS:
        face = drawn_face(ground=GROUNDS[colour], hair=HAIRS[colour])
        face.save(folder / f"{colour}.png")
    return lambda colour: str(folder / f"{colour}.png")


@pytest.fixture(scope="module")
def kbs(tmp_path_factory, clip, bert, portrait):
    """KBs with pictures and descriptions, in the spaces of one or of two encoders."""
    folder = tmp_path_factory.mktemp("kbs")
    entities = [
        Entity(f"{n}-{c}", n, f"A {c} place.", images=(portrait(c),)) for n, c in PLACES
    ]
    encoders = {"clip": {"clip": clip}, "both": {"clip": clip, "text_encoder": bert}}
    return {
        name: build_kb(entities, folder / f"{name}.kb", **own).path
        for name, own in encoders.items()
    }


@pytest.fixture(scope="module")
def labelled(portrait, picture):
    """A picture with a face, one without, none."""

    def make(nlp):
        made = []
        for name, colour in PLACES:
            for images in ([portrait(colour)], [picture(colour)], []):
                doc = nlp.make_doc(f"We saw {name} again.")
                doc._.images = images
                at = (7, 7 + len(name))
                gold = {"entities": [(*at, "PLACE")]}
                gold["links"] = {at: {f"{name}-{colour}": 1.0}}
                made.append(Example.from_dict(doc, gold))
        return made

    return make


def shipped(name, **model):
    """The linker's block of a config, its network made small."""
    config = load_config(CONFIGS / name)["components"]["dwe_linker"]
    config["model"] |= {**SMALL, **model}
    visual = config["visual"]
    if visual is not None:
        # CLIP's weights are random, and nothing is very probable.
        visual["faces"]["min_probability"] = 0.0
        visual["scenes"]["margin"] = 0.5
    del config["factory"], config["kb"], config["device"]
    return {**config, "feature_cache": None}


def unlearned(nlp, examples, steps=3):
    """Names of the weights that got no gradient. That of the body comes with the second
    step, as the first one's corrections are zero."""
    made = examples(nlp)
    optimizer = nlp.initialize(lambda: made)
    optimizer.learn_rate = 0.01
    network = nlp.get_pipe("dwe_linker").network_shim.network
    left = {name for name, p in network.named_parameters() if p.requires_grad}
    for _ in range(steps):
        nlp.update(made, sgd=False)
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and parameter.grad.abs().max() > 1e-12:
                left.discard(name)
        nlp.get_pipe("dwe_linker").finish_update(optimizer)
    return left


@pytest.mark.parametrize("kb", ["clip", "both"])
@pytest.mark.parametrize(
    "name", ["default.cfg", "sample.cfg", "benchmark.cfg", "paper.cfg"]
)
def test_shipped_configs_train_all_they_have(kbs, labelled, kb, name):
    if name == "paper.cfg":
        pytest.importorskip("cv2")
    nlp = linking_pipeline(kbs[kb], **shipped(name))
    assert sorted(unlearned(nlp, labelled)) == []


@pytest.mark.parametrize(
    "model, linker",
    [
        ({"head": "dwe"}, {}),
        ({"head": "dwe"}, {"use_images": False}),
        ({"head": "dwe"}, {"channels": ["dwe"]}),
        ({"head": "dwe", "states": "pooled", "loss": "n_pair"}, {}),
        ({"head": "dwe", "without": ["vision"]}, {}),
        ({"head": "dwe", "without": ["text"], "decoder": False, "gate": False}, {}),
        ({"head": "plain"}, {}),
        ({"head": "plain", "s_align_weight": 0.0}, {}),
        ({"head": "plain"}, {"use_images": False}),
        ({"read_mention": True, "info_nce_weight": 0.0}, {}),
    ],
    ids=str,
)
def test_switches_leave_no_weight_behind(kbs, labelled, model, linker):
    config = {**shipped("default.cfg", **model), **linker}
    nlp = linking_pipeline(kbs["both"], **config)
    assert sorted(unlearned(nlp, labelled)) == []


@pytest.mark.parametrize("found", ["faces", "scenes"])
def test_a_network_has_no_part_for_what_nobody_looks_for(kbs, labelled, found):
    """And what is not looked for is the only difference that it makes."""
    config = shipped("paper.cfg")
    config["visual"][found] = None
    if found == "scenes":
        pytest.importorskip("cv2")
    nlp = linking_pipeline(kbs["both"], **config)
    assert sorted(unlearned(nlp, labelled)) == []
    spec = nlp.get_pipe("dwe_linker").network_shim.network.spec
    has = {"faces": spec.has("faces"), "scenes": "attributes" in spec.modality_widths}
    assert has == {"faces": found != "faces", "scenes": found != "scenes"}


def test_the_plain_head_reads_faces(kbs, labelled):
    pytest.importorskip("cv2")
    nlp = linking_pipeline(kbs["both"], **shipped("paper.cfg", head="plain"))
    assert sorted(unlearned(nlp, labelled)) == []


def test_raw_pictures_keep_the_number_of_weights(kbs, labelled):
    sizes = []
    for raw in (False, True):
        nlp = linking_pipeline(kbs["clip"], **shipped("paper.cfg", raw_image=raw))
        nlp.initialize(lambda nlp=nlp: labelled(nlp))
        network = nlp.get_pipe("dwe_linker").network_shim.network
        sizes.append({n: p.shape for n, p in network.named_parameters()})
    assert sizes[0] == sizes[1]
