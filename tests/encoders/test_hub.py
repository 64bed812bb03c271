"""Weights that come from a hub: a real server on this machine that speaks its protocol,
and misbehaves."""

import json
import socket
import time

import pytest
from huggingface_hub import constants
from local_hub import LocalHub
from PIL import Image
from tiny_models import clip_config, save_bert, save_clip

from spacy_dwe.encoders import clip_encoder, hub, picture_encoder, text_encoder
from spacy_dwe.errors import DweError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders with a tiny model of each kind."""
    import timm
    from timm.models import save_for_hf

    root = tmp_path_factory.mktemp("models")
    save_for_hf(timm.create_model("test_vit"), root / "org" / "vit")
    (root / "org" / "bert").mkdir()
    save_bert(root / "org" / "bert")
    save_clip(root / "org" / "clip", clip_config("clip"))
    return {f"org/{name}": root / "org" / name for name in ("vit", "bert", "clip")}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty; no server has been silent yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_silent", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def use(monkeypatch, cache):
    """Make a server the hub."""

    def turn_to(url):
        template = "{endpoint}/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            template.replace("{endpoint}", url),
        )

    return turn_to


@pytest.fixture
def server(models, use):
    server = LocalHub()
    server.folders = dict(models)
    use(server.url)
    yield server
    server.close()


def vit():
    return picture_encoder("timm:hf-hub:org/vit", device="cpu")


def load_each():
    return {
        "timm": vit().fingerprint,
        "text": text_encoder("org/bert", device="cpu").fingerprint,
        "clip": clip_encoder("hf-hub:org/clip", device="cpu").fingerprint,
    }


def test_models_of_each_kind_are_downloaded_once(server, models, cache, use):
    loaded = load_each()
    assert loaded == {
        "timm": picture_encoder(str(models["org/vit"]), device="cpu").fingerprint,
        "text": text_encoder(str(models["org/bert"]), device="cpu").fingerprint,
        "clip": clip_encoder(
            f"local-dir:{models['org/clip']}", device="cpu"
        ).fingerprint,
    }
    vectors = vit().encode_images([Image.new("RGB", (40, 30), "red")])
    assert vectors.shape == (1, vit().dim)
    # What is in the cache is loaded when the hub is gone.
    server.close()
    use("http://127.0.0.1:9")
    assert load_each() == loaded


def test_a_download_that_breaks_off_is_taken_up_again(server, models, monkeypatch):
    # What breaks off within a chunk is lost, and a chunk is larger than this model.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    server.cut = 20_000
    fingerprint = vit().fingerprint
    own = picture_encoder(str(models["org/vit"]), device="cpu").fingerprint
    assert fingerprint == own
    assert server.ranges == ["bytes=20000-"]


def test_a_damaged_download_is_told_and_not_kept(server, cache, models):
    server.damaged = True
    with pytest.raises(DweError, match=r"E248\] pytorch_model\.bin of 'timm:hf-hub:"):
        _ = vit().dim
    assert not list(cache.rglob("pytorch_model.bin"))
    server.damaged = False
    own = picture_encoder(str(models["org/vit"]), device="cpu").fingerprint
    assert vit().fingerprint == own


def test_what_the_hub_does_not_have_is_told_in_a_line(server):
    for encoder in (
        picture_encoder("timm:hf-hub:org/none"),
        picture_encoder("transformers:org/none"),
        text_encoder("org/none"),
        clip_encoder("hf-hub:org/none"),
    ):
        with pytest.raises(DweError) as told:
            _ = encoder.dim
        assert "org/none" in str(told.value)
        assert "\n" not in str(told.value)


@pytest.fixture(params=["refuses", "is silent", "has no address"])
def nowhere(request):
    """The address of a server that cannot be reached."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if request.param == "is silent":
            listener.listen()
        yield url if request.param != "has no address" else "http://no.invalid"


def test_a_hub_that_cannot_be_reached_is_told_within_seconds(nowhere, use, monkeypatch):
    assert hub.PATIENCE < 10
    monkeypatch.setattr(hub, "PATIENCE", 1.0)
    use(nowhere)
    begun = time.monotonic()
    for encoder in (
        picture_encoder("timm:hf-hub:org/vit"),
        picture_encoder("timm:resnet18"),
        picture_encoder("transformers:org/vit"),
        text_encoder("org/bert"),
        clip_encoder("ViT-B-32", "openai"),
        clip_encoder("hf-hub:org/clip"),
    ):
        with pytest.raises(DweError, match=r"E247.*HF_HUB_OFFLINE") as told:
            _ = encoder.dim
        assert nowhere in str(told.value)
    # It is asked once for all of them.
    assert time.monotonic() - begun < 5


def test_a_slow_download_is_not_cut(server, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    server.pause = 0.06
    begun = time.monotonic()
    assert vit().dim == 64
    assert time.monotonic() - begun > 1


def test_weights_by_url_are_taken_up_again_and_checked(server, tmp_path):
    from hashlib import sha256

    folder = tmp_path / "files"
    folder.mkdir()
    content = bytes(range(256)) * 200
    name = f"weights-{sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    server.folders["files"] = folder
    url = f"{server.url}/files/resolve/main/{name}"
    server.cut = 30_000
    target = tmp_path / "cache" / name
    hub.fetch_weights("torchvision:net", url, target)
    assert target.read_bytes() == content
    assert server.ranges == ["bytes=30000-"]
    asked = len(server.paths)
    hub.fetch_weights("torchvision:net", url, target)
    assert len(server.paths) == asked

    target.unlink()
    server.damaged = True
    with pytest.raises(DweError, match=rf"E248\] {name}"):
        hub.fetch_weights("torchvision:net", url, target)
    with pytest.raises(DweError, match=r"E249.*404"):
        hub.fetch_weights("torchvision:net", f"{url}.gone", target)
    assert list(target.parent.iterdir()) == []


def test_weights_by_url_of_a_silent_server_are_told(
    nowhere, tmp_path, cache, monkeypatch
):
    monkeypatch.setattr(hub, "PATIENCE", 1.0)
    begun = time.monotonic()
    with pytest.raises(DweError, match=r"E249.*as a file"):
        hub.fetch_weights("torchvision:net", f"{nowhere}/w.pth", tmp_path / "w.pth")
    assert time.monotonic() - begun < 10


def test_without_a_network_what_is_missing_is_told(use, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DweError, match=r"E247.*HF_HUB_OFFLINE is set"):
        _ = text_encoder("org/bert").dim


def test_a_folder_asks_no_hub(server, models):
    assert json.loads((models["org/vit"] / "config.json").read_text())
    _ = picture_encoder(str(models["org/vit"]), device="cpu").dim
    _ = text_encoder(str(models["org/bert"]), device="cpu").dim
    _ = clip_encoder(f"local-dir:{models['org/clip']}", device="cpu").dim
    assert server.paths == []
