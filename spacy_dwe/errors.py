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
    E005 = "[DWE-E005] {path} is a folder, where a file is needed"
    E006 = "[DWE-E006] {path} cannot be written: {reason}"

    E100 = "[DWE-E100] {source}: not an entity: {problem}"
    E101 = (
        "[DWE-E101] {path}, line {line}: the id {id!r} stands in line {first} already"
    )
    E103 = (
        "[DWE-E103] {path} is no KnowledgeBase: it has no meta.json. Build one with "
        "`python -m spacy dwe kb build ENTITIES.jsonl OUT.kb`"
    )
    E104 = (
        "[DWE-E104] The KnowledgeBase {path} is damaged: {file} is missing. Copy it "
        "again, or build it again"
    )
    E105 = (
        "[DWE-E105] The KnowledgeBase {path} is damaged: {file} cannot be read "
        "({reason}). Copy it again, or build it again"
    )
    E106 = "[DWE-E106] The KnowledgeBase {path} has been built anew: open it again"
    E107 = "[DWE-E107] No entity {id!r} in the KnowledgeBase {path}"
    E108 = (
        "[DWE-E108] The KnowledgeBase {path} has format {found}, but this spacy-dwe "
        "reads format {known}: upgrade spacy-dwe, or build the KB again"
    )
    E109 = "[DWE-E109] {path} exists: pass --overwrite (overwrite=True) to replace it"
    E110 = (
        "[DWE-E110] {path} exists and is no KnowledgeBase, so it is not replaced: name "
        "another output"
    )
    E111 = "[DWE-E111] There are no entities to build {path} from"
    E112 = "[DWE-E112] Two entities have the id {id!r}"
    E113 = (
        "[DWE-E113] The encoder {fingerprint} of {name} gives {problem}: its weights "
        "are damaged, or it is no encoder for this"
    )
    E114 = (
        "[DWE-E114] The KnowledgeBase {path} is being changed by another process: wait "
        "until it has finished"
    )
    E115 = (
        "[DWE-E115] Nothing would be left of the KnowledgeBase {path}: delete its "
        "folder instead"
    )
    E116 = (
        "[DWE-E116] {path} has an entity {id!r} already: use `kb update` "
        '(on_conflict="replace") to change it, or "keep" to leave it as it is'
    )
    E180 = "[DWE-E180] Nothing to remove: name ids, or a file of them with --from"
    E181 = "[DWE-E181] Nothing to encode with: pass --text-encoder, --clip, or both"
    E182 = (
        "[DWE-E182] {path} has {n} problems: `python -m spacy dwe kb rebuild` makes "
        "all but entities.sqlite again"
    )
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
    E420 = "[DWE-E420] {option} says nothing without {needed}: pass both"
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

    E200 = (
        "[DWE-E200] {value} is no picture: pass a path, a URL, the bytes of an image "
        "file, a PIL image, or a list of these"
    )
    E201 = "[DWE-E201] An ImageRef holds either a path or data, never both or neither"
    E202 = "[DWE-E202] {name} cannot be decoded: {reason}"
    E203 = (
        "[DWE-E203] {url} is not downloaded: linking opens no connections. Set "
        "fetch_urls = true, or download the picture and pass its path or bytes"
    )
    E204 = (
        "[DWE-E204] {name} has {width} x {height} pixels, more than the limit of "
        "{limit}: scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS"
    )
    E210 = (
        "[DWE-E210] No weights named for the CLIP model {model!r}: pass pretrained "
        "(--clip-weights) as one of {tags}, as a file, or the model as local-dir:PATH"
    )
    E211 = (
        "[DWE-E211] The weights {pretrained!r} of the CLIP model {model!r} cannot be "
        "loaded ({reason}). Without a network pass local weights instead: a file as "
        "pretrained, or a folder as model = local-dir:PATH"
    )
    E212 = (
        "[DWE-E212] {path} is no folder with a CLIP model: it needs "
        "open_clip_config.json and the weights ({reason})"
    )
    E213 = (
        "[DWE-E213] open_clip knows no model {model!r}: pass one of "
        "open_clip.list_models(), such as {close}, or local-dir:PATH"
    )
    E220 = (
        "[DWE-E220] The text encoder {name!r} needs transformers: run "
        "`pip install spacy-dwe[text]`"
    )
    E221 = (
        "[DWE-E221] The text encoder {name!r} cannot be loaded ({reason}). Without a "
        "network pass the folder that holds the model instead of its name"
    )
    E222 = (
        "[DWE-E222] The text encoder {name!r} asks for {what}, which is not "
        "supported: pass pooling = one of {choices}, or another model"
    )
    E223 = (
        "[DWE-E223] The text encoder {name!r} has no fast tokenizer, so a mention "
        "cannot be found among its tokens: choose a model with a tokenizer.json"
    )
    E224 = (
        "[DWE-E224] The encoder {name!r} was loaded on {device} before this process "
        "was forked, and CUDA does not survive a fork: use n_process=1, or "
        "device = cpu"
    )
    E225 = "[DWE-E225] Not an encoder's config block: {spec}. Known are {known}"
    E226 = "[DWE-E226] Unknown {what} {value!r}: use one of {choices}"
    E227 = (
        "[DWE-E227] device = {device}, but torch sees no such device on this machine: "
        'use "auto" or "cpu"'
    )
    E230 = (
        "[DWE-E230] {path}, line {line}: line {first} has a document with the id "
        "{id!r} already"
    )
    E231 = (
        "[DWE-E231] Document {id} has {length} characters, more than nlp.max_length "
        "({limit}): split it"
    )
    E232 = (
        "[DWE-E232] Document {id} has no mentions, and {pipeline} has no component "
        'that finds any: give the document "mentions", or use a pipeline with NER'
    )
    E233 = "[DWE-E233] {path} is no {what}: {reason}"
    E234 = (
        "[DWE-E234] {doc} holds pictures as bytes, which {what} cannot carry: "
        "set doc._.images to paths"
    )
    E235 = "[DWE-E235] Output {path} is the input: name another file"
    E240 = "[DWE-E240] Unknown format {value!r}: use one of {choices}"
    E500 = "[DWE-E500] Unknown channel: {channels}. There are {known}"
    E501 = '[DWE-E501] states = "{states}" is neither "tokens" nor "pooled"'
    E502 = "[DWE-E502] The network is not built: initialise or load the pipeline first"
    E503 = "[DWE-E503] The linker's weights are damaged: {reason}"
    E504 = "[DWE-E504] {doc}: {reason}"
    E505 = (
        "[DWE-E505] No training example has an entity with a kb_id: label mentions "
        'with "kb_id" and read them with spacy-dwe.Corpus.v1'
    )
    E506 = (
        "[DWE-E506] The dwe channel compares with entity vectors, and the KB {kb} has "
        "none of a text encoder: build it with `python -m spacy dwe kb build --clip` "
        "or `--text-encoder`, or leave dwe out of the channels"
    )
    E507 = (
        "[DWE-E507] {name} has no KnowledgeBase: call linker.load_kb(PATH) or set "
        "[initialize.components.{name}] kb_loader"
    )
    E508 = (
        "[DWE-E508] The scores of {mention!r} in {doc} hold NaN or inf: the weights "
        "or the KB's vectors are damaged; rebuild the KB or train again"
    )
    E509 = (
        "[DWE-E509] The KB {kb} holds {set} vectors of the encoder {theirs}, but the "
        "pipeline encodes with {ours}: rebuild the KB with this encoder (`python -m "
        "spacy dwe kb build`), or leave the encoder to the KB"
    )
    E510 = (
        "[DWE-E510] The pipeline brings an encoder that the KB {kb} has no vectors "
        "of: build it with `python -m spacy dwe kb build … {option}`"
    )
    E511 = (
        "[DWE-E511] The linker was trained with {sets} vectors, which the KB {kb} has "
        "not, or of another encoder: build the KB with the same encoders, or leave dwe "
        "out of the channels"
    )
    E512 = (
        "[DWE-E512] The training loss is NaN or infinite: lower the learning rate, or "
        "check the KB's vectors with `python -m spacy dwe kb info`"
    )
    E513 = (
        "[DWE-E513] [training.optimizer] is not one that the linker can follow: use "
        '@optimizers = "Adam.v1", with L2_is_weight_decay as you like'
    )
    E514 = "[DWE-E514] {name} = {value} is not {expected}"
    E520 = (
        "[DWE-E520] The corpus has no path: pass --paths.train and --paths.dev, or set "
        "them in the config"
    )
    E521 = (
        "[DWE-E521] The KnowledgeBase has no path: pass --paths.kb, set it in the "
        "config, or set the variable DWE_KB"
    )


class Warnings:
    W001 = "[DWE-W001] {image} of {doc} cannot be read and is ignored: {reason}"
    W100 = "[DWE-W100] The picture {image} of entity {id} is left out: {reason}"
    W500 = (
        "[DWE-W500] No document of a batch has an entity to train on, though there are "
        "labels: with use_gold_ents = false, name the component that recognises "
        "entities in [training] annotating_components"
    )
    W200 = "[DWE-W200] {path} holds no documents"
