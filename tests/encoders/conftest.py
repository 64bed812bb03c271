import pytest
from tiny_models import save_bert, save_clip_of_kind


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """Folder of a tiny CLIP of a kind, made once."""
    root = tmp_path_factory.mktemp("clip")
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = save_clip_of_kind(root / kind, kind)
        return made[kind]

    return make


@pytest.fixture(scope="session")
def clip(clip_folder):
    """A tiny CLIP of a kind in memory, loaded once."""
    from spacy_dwe.encoders.clip import ClipEncoder

    loaded = {}

    def load(kind):
        if kind not in loaded:
            spec = {"model": f"local-dir:{clip_folder(kind)}"}
            loaded[kind] = ClipEncoder(spec, device="cpu", batch_size=2)
        return loaded[kind]

    return load


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """Folder of a tiny BERT with a WordPiece tokenizer."""
    return save_bert(tmp_path_factory.mktemp("bert"))
