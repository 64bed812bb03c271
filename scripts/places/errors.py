"""What the sample's scripts say when something is wrong, beside the package's words."""

from spacy_dwe import errors


class Errors(errors.Errors):
    E300 = "[DWE-E300] Flag specification, {where}: {reason}"
    E301 = (
        "[DWE-E301] {path}: not an open_clip model config ({reason}). It needs the "
        "keys embed_dim, vision_cfg and text_cfg, as configs/tiny-clip/model.json has"
    )
    E302 = "[DWE-E302] Training the tiny CLIP: {reason}"
    E320 = "[DWE-E320] {path}, line {line}: not a place of the sample: {reason}"
    E321 = "[DWE-E321] {path}: {id} stands there twice"
    E322 = "[DWE-E322] {path}: {a} and {b} share a name, but {reason}"
    E323 = (
        "[DWE-E323] {path} exists and holds no sample, so it is not replaced; name a "
        "new or empty folder"
    )
