"""Every message a user can meet, in one place: what is wrong and what to do next."""


class DweError(ValueError):
    """A mistake in the input or the set-up. The command line prints its message
    on one line and exits with status 1; it never shows a traceback for it."""


class Errors:
    # Raised as DweError(Errors.E001.format(...)).
    E001 = "[DWE-E001] File not found: {path}"
    E002 = "[DWE-E002] {path}, line {line}: not valid JSON ({reason})"
    E003 = "[DWE-E003] {path}, line {line}: {reason}"
    E004 = "[DWE-E004] {path} is empty: it holds no {what}"
    E400 = "[DWE-E400] The pipeline {pipeline} cannot be loaded: {reason}"
    E401 = (
        "[DWE-E401] The linker of {pipeline} has no KnowledgeBase: pass one with "
        "--kb PATH (built by `python -m spacy dwe kb build`)"
    )
    E402 = (
        "[DWE-E402] No such option: {option}. Settings of the pipeline are given by "
        "their dotted name, such as --components.dwe_linker.threshold 0.3"
    )
    E403 = (
        "[DWE-E403] --channels {channels!r} names no channel: pass them with commas "
        "between, such as name,prior,text"
    )
    E410 = (
        "[DWE-E410] The scores of {mention!r} in document {doc} hold NaN or inf: the "
        "weights or the KB's vectors are damaged; rebuild the KB or train again"
    )
    E411 = (
        "[DWE-E411] {source} holds no labelled mention, so there is nothing to "
        'evaluate: give mentions a "kb_id" (null means: not in the KB)'
    )
    E412 = (
        "[DWE-E412] The two runs differ in their mentions ({left} against {right}): "
        "a paired difference needs both on the same documents"
    )
    E413 = "[DWE-E413] Unknown {what} {value!r}: use one of {choices}"
    E414 = (
        "[DWE-E414] The linker scored {n} of the {expected} mentions of document "
        "{doc}: its mentions overlap or do not fit its text"
    )

    E300 = "[DWE-E300] Flag specification, {where}: {reason}"
    E301 = (
        "[DWE-E301] {path}: not an open_clip model config ({reason}). It needs the "
        "keys embed_dim, vision_cfg and text_cfg, as configs/tiny-clip/model.json has"
    )
    E302 = "[DWE-E302] {path}, line {line}: a place of the sample needs {key!r}"
    E303 = "[DWE-E303] Training the tiny CLIP: {reason}"


class Warnings:
    W001 = "[DWE-W001] {image} of {doc} cannot be read and is ignored: {reason}"
