"""Every message a user can meet, in one place: what is wrong and what to do next."""

import re

LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
"""User and password in a URL, which no message shows."""
CODE = re.compile(r"^\[DWE-[EW]\d+\] ")
"""What a message starts with, and one within another does not."""
BAR_DELAY = 0.5
"""Seconds before a progress bar shows: a mistake in the first lines of a file is told
on a line of its own."""


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
    E102 = (
        "[DWE-E102] The KnowledgeBase {path} was made by an earlier spacy-dwe (format "
        "{found}, now {known}): run `python -m spacy dwe kb rebuild {path}`"
    )
    E103 = (
        "[DWE-E103] {path} is no KnowledgeBase: it has no meta.json. Build one with "
        "`python -m spacy dwe kb build ENTITIES.jsonl OUT.kb`"
    )
    E104 = (
        "[DWE-E104] The KnowledgeBase {path} is damaged: {file} is missing. Copy it "
        "again, or run `python -m spacy dwe kb rebuild`"
    )
    E105 = (
        "[DWE-E105] The KnowledgeBase {path} is damaged: {file} cannot be read "
        "({reason}). Copy it again, or run `python -m spacy dwe kb rebuild`"
    )
    E106 = "[DWE-E106] The KnowledgeBase {path} has been built anew: open it again"
    E107 = "[DWE-E107] No entity {id!r} in the KnowledgeBase {path}"
    E108 = (
        "[DWE-E108] The KnowledgeBase {path} has format {found}, but this spacy-dwe "
        "reads format {known}: upgrade spacy-dwe, or build the KB again"
    )
    E109 = "[DWE-E109] {path} exists: pass --overwrite (overwrite=True) to replace it"
    E110 = (
        "[DWE-E110] {path} exists and is no {what}, so it is not replaced: name "
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
    E117 = (
        "[DWE-E117] The KnowledgeBase {path} cannot be read now ({reason}): a change "
        "of it is under way, or was interrupted. Open it again, if need be as a user "
        "who may write to it"
    )
    E118 = (
        "[DWE-E118] No KB source is registered as {name!r}: pass --code with the "
        "Python file that registers it in spaCy's `misc`"
    )
    E119 = "[DWE-E119] The KB source {name}: {problem}"
    E180 = "[DWE-E180] Nothing to remove: name ids, or a file of them with --from"
    E181 = "[DWE-E181] Nothing to encode with: pass --text-encoder, --clip or --encoder"
    E182 = (
        "[DWE-E182] {path} has {n} problems: `python -m spacy dwe kb rebuild` makes "
        "all but the database again"
    )
    E185 = (
        "[DWE-E185] {name!r} names no vector set: write FIELD@SPACE, such as "
        "description@text; a space is letters, digits, - and _"
    )
    E186 = (
        "[DWE-E186] The encoder of the space {space}, a {kind}, encodes nothing: it "
        "needs encode_texts, encode_images or both (spacy_dwe.encoders.protocol)"
    )
    E130 = "[DWE-E130] {path} is damaged at byte {offset} ({reason}): download it again"
    E131 = (
        "[DWE-E131] {path} ends in the middle, as of a download that was cut off: "
        "download it again"
    )
    E132 = "[DWE-E132] Another run is writing {path}: wait for it, or stop it"
    E133 = (
        "[DWE-E133] {path} is no work of an earlier run ({reason}): remove it, or name "
        "another output"
    )
    E134 = (
        "[DWE-E134] Text of a Wikipedia XML dump needs mwparserfromhell: run "
        "`pip install spacy-dwe[dumps]`, or pass a CirrusSearch dump as well"
    )
    E135 = "[DWE-E135] {option} takes {expected}, not {value!r}"
    E136 = "[DWE-E136] {path} is no {what} dump"
    E137 = "[DWE-E137] {path} is no {what} that can be read: {reason}"
    E138 = "[DWE-E138] {path} is given twice: name each dump once"
    E139 = (
        "[DWE-E139] No item is left for {path} ({counts}): look at --languages, "
        "--sitelink, --min-sitelinks and --instance-of"
    )
    E120 = (
        "[DWE-E120] Wikimedia asks programs to say who runs them, and {contact!r} is "
        "no e-mail address or URL: pass --contact you@example.org, or set DWE_CONTACT"
    )
    E121 = "[DWE-E121] {option} {value!r}: {reason}"
    E122 = (
        "[DWE-E122] {url} gives no answer ({reason}; attempts: {attempts}). {done} are "
        "kept in {cache}: run the same command again, without --refresh, to go on"
    )
    E123 = (
        "[DWE-E123] {path} is no cache of Wikipedia's answers that can be read "
        "({reason}): delete it, or name another with --cache"
    )
    E124 = (
        "[DWE-E124] Another run uses the cache {path}: wait for its end, or name "
        "another with --cache"
    )
    E125 = (
        "[DWE-E125] {path}: none of the {count:,} titles is an article, so there are "
        "no entities to write. {listed} says why"
    )
    E126 = (
        "[DWE-E126] {url} refuses to answer: {reason}. {done} are kept in {cache}; see "
        "--api-url, --language and --contact"
    )
    E140 = (
        "[DWE-E140] {path} has no column {column!r}, to be read as {field}: its "
        "columns are {columns}{advice}"
    )
    E141 = "[DWE-E141] {path}, line {line}, column {column!r}: {problem}"
    E142 = "[DWE-E142] {path}, line 1: two columns are called {column!r}: rename one"
    E143 = (
        "[DWE-E143] {path}, line {line}: not {encoding} ({reason}): pass the file's "
        "--encoding, such as cp1252 or utf-16"
    )
    E144 = "[DWE-E144] {encoding!r} is no encoding of text: pass one such as cp1252"
    E145 = '[DWE-E145] {option} takes one character, or "tab", not {value!r}'
    E146 = (
        "[DWE-E146] {path} holds no KnowledgeBase of spaCy: pass the folder that "
        "`kb.to_disk` wrote, or a pipeline with an entity_linker"
    )
    E147 = (
        "[DWE-E147] {path} holds several KnowledgeBases: pass the folder of one, such "
        "as {choices}"
    )
    E148 = "[DWE-E148] {path} is no InMemoryLookupKB that spaCy can read: {reason}"
    E149 = (
        "[DWE-E149] The KnowledgeBase {path} names a string by its hash {hash}, and "
        "the string is not saved with it: pass --vocab, the folder of a pipeline that "
        "has it"
    )
    E150 = (
        "[DWE-E150] {pipeline} is no pipeline: pass a folder that `nlp.to_disk` wrote, "
        "or the name of an installed package"
    )
    E151 = (
        "[DWE-E151] The pipeline {pipeline} has no dwe_linker, so there is no "
        "KnowledgeBase to bundle"
    )
    E152 = (
        "[DWE-E152] The component {name} of {pipeline} has no KnowledgeBase: pass one "
        "with --kb PATH"
    )
    E153 = (
        "[DWE-E153] The KnowledgeBase {kb} of the component {name} is not there: pass "
        "its place with --kb PATH"
    )
    E156 = (
        "[DWE-E156] {path} lies inside {source}, which is copied: name another output"
    )
    E157 = (
        "[DWE-E157] {path}, an encoder of the KnowledgeBase {kb}, is not there: put it "
        "back, or pass --no-encoders to leave it out"
    )
    E158 = (
        "[DWE-E158] The component {name} of {pipeline} has no state that can be read "
        "({reason}): save the pipeline again"
    )
    E170 = (
        "[DWE-E170] The KB {kb} holds {name} vectors of the encoder {theirs}, but the "
        "encoder that it names is {ours} now: pass the one that made them with "
        "{option}, or encode all entities anew with `python -m spacy dwe kb encode`"
    )
    E171 = (
        "[DWE-E171] The entity {id!r} needs a {name} vector, and no encoder makes "
        "these: pass the one that made those of the KB {kb} with {option}"
    )
    E159 = (
        "[DWE-E159] {source} lies inside {path}, which would be replaced: name another "
        "output"
    )
    E160 = (
        "[DWE-E160] There is nothing to search {kb} for by vectors: DenseCandidates "
        "needs vectors of {name} in the KB (`python -m spacy dwe kb build "
        "--text-encoder` or `--picture-encoder`), and a channel that compares them: "
        "text, image or dwe"
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
    E404 = "[DWE-E404] The file of --code {path} cannot be run: {reason}"
    E420 = "[DWE-E420] {option} says nothing without {needed}: pass both"
    E411 = (
        "[DWE-E411] {source} holds no labelled mention, so there is nothing to "
        'evaluate: give mentions a "kb_id" (null means: not in the KB)'
    )
    E412 = (
        "[DWE-E412] The two runs differ in their mentions ({left} against {right}): "
        "a paired difference needs both on the same documents"
    )
    E430 = (
        '[DWE-E430] Fuzzy candidates, and so the protocol "paper", need rapidfuzz: '
        'pip install "spacy-dwe[evaluation]"'
    )
    E431 = (
        "[DWE-E431] {pipeline} finds no mentions of its own, which end-to-end "
        "evaluation needs: add a component that sets doc.ents before the linker, or "
        "doc.spans if the linker has a spans_key"
    )
    E432 = (
        "[DWE-E432] The protocol {protocol!r} has its own candidates: leave out "
        "--candidates {candidates}"
    )
    E433 = (
        "[DWE-E433] {path}, line {line}: no prediction of `evaluate --predictions` "
        "({reason})"
    )
    E434 = "[DWE-E434] {left} and {right} cannot be compared: {reason}"
    E435 = '[DWE-E435] NIF needs rdflib: pip install "spacy-dwe[evaluation]"'
    E436 = (
        '[DWE-E436] The protocol "paper" puts the right entity among the candidates, '
        "which is no open world: leave out --protocol paper or --open-world"
    )
    E413 = "[DWE-E413] Unknown {what} {value!r}: use one of {choices}"
    E440 = (
        "[DWE-E440] The linker {name} looks for no objects, faces or scenes: set "
        '[components.{name}.visual] @misc = "spacy-dwe.VisualExtractor.v1" with a '
        "block for each of them"
    )
    E441 = (
        "[DWE-E441] Objects, faces and scenes are found by CLIP, and the KB {kb} has "
        "no vectors of any: build it with `python -m spacy dwe kb build … --clip`, or "
        "set visual = null"
    )
    E460 = (
        "[DWE-E460] The evaluation has mentions of document {doc}, which is not among "
        "the documents given: pass those that were evaluated"
    )
    E461 = (
        "[DWE-E461] The evaluation did not keep the scores of the right entity of "
        "{mention!r} in document {doc}: evaluate again and keep more candidates"
    )
    E462 = (
        "[DWE-E462] The plots of a report need matplotlib: `pip install "
        "'spacy-dwe[report]'`"
    )
    E490 = (
        "[DWE-E490] `dwe {name}` is no command of the package any more: in a checkout, "
        "run `python {script}`"
    )
    E491 = (
        "[DWE-E491] `dwe report` is no command of the package any more: for your own "
        "data `python -m spacy dwe evaluate … --report DIR` writes a report; that of "
        "the places sample is made, in a checkout, by `python scripts/sample.py report`"
    )

    E200 = (
        "[DWE-E200] {value} is no picture: pass a path, a URL, the bytes of an image "
        'file, a PIL image, an object with "path" (or "data") and "boxes", or a list '
        "of these"
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
    E205 = "[DWE-E205] {path} is no bank of words: {where}: {reason}"
    E206 = (
        "[DWE-E206] Finding faces needs OpenCV 4: run `pip install spacy-dwe[faces]`, "
        "or leave faces out"
    )
    E207 = "[DWE-E207] {path} is no face detector that OpenCV can load: {reason}"
    E208 = "[DWE-E208] torchvision has no detector {name!r}: use one of {known}"
    E209 = (
        "[DWE-E209] {box!r} is no box on {name}: give a list of [left, top, right, "
        'bottom] or [left, top, right, bottom, "label"], in pixels'
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
    E214 = (
        "[DWE-E214] The weights {weights!r} of the detector {name!r} cannot be loaded "
        "({reason}). Without a network pass a file with its state dict"
    )
    E215 = "[DWE-E215] None of the {n} pictures can be read"
    E216 = (
        "[DWE-E216] {url} is not fetched: {where} is a private address. Set the "
        "variable {variable}=1 if documents may name files of your own network"
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
    E225 = "[DWE-E225] The config block {spec} makes no encoder: {reason}"
    E226 = "[DWE-E226] Unknown {what} {value!r}: use one of {choices}"
    E227 = (
        "[DWE-E227] device = {device}, but torch sees no such device on this machine: "
        'use "auto" or "cpu"'
    )
    E228 = (
        "[DWE-E228] The cache of encoder outputs {path} cannot be used: {reason}. It "
        "can be deleted: what it holds is computed again"
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
    E240 = (
        "[DWE-E240] {name!r} names no picture encoder: {reason}. Pass timm:NAME, "
        "torchvision:NAME, transformers:NAME, a folder with a config.json of timm or "
        "transformers, or to commands what --code FILE registers"
    )
    E241 = (
        "[DWE-E241] The picture encoder {name!r} cannot be loaded ({reason}). Without "
        "a network pass a folder that holds the model, or its weights as a file"
    )
    E242 = "[DWE-E242] The weights {path} cannot be read: {reason}"
    E243 = (
        "[DWE-E243] The weights {path} are not of {name!r}: {reason}. Name the model "
        "that they were trained with"
    )
    E244 = (
        "[DWE-E244] The picture encoder {name!r} needs transformers: run "
        "`pip install spacy-dwe[text]`"
    )
    E245 = (
        "[DWE-E245] {what} = {value} of the picture encoder {name!r} is none: give "
        "{expected}"
    )
    E246 = (
        "[DWE-E246] Two encoders are for the space {space!r}: call one of them "
        "otherwise, as SPACE=NAME"
    )
    E247 = (
        "[DWE-E247] {name!r} cannot be downloaded from {url} ({reason}), nor loaded "
        "from the cache. Pass a folder that holds the model, or set HF_ENDPOINT to a "
        "mirror that can be reached; HF_HUB_OFFLINE=1 keeps to the cache"
    )
    E248 = (
        "[DWE-E248] {file} of {name!r} came damaged from {url}: its checksum is "
        "another one. It is removed again: run the command once more"
    )
    E249 = (
        "[DWE-E249] The weights of {name!r} cannot be downloaded from {url} "
        "({reason}). Pass them as a file"
    )
    E250 = (
        "[DWE-E250] {path} does not hold {dataset} as published. Looked for {files}. "
        "docs/datasets.md says where to fetch it"
    )
    E251 = (
        "[DWE-E251] {path} is no JSON as published ({reason}): fetch it again, see "
        "docs/datasets.md"
    )
    E252 = (
        "[DWE-E252] {path}, record {record}: {reason}. docs/datasets.md says what is "
        "expected"
    )
    E254 = (
        "[DWE-E254] {path} is a file: pass the folder that {dataset} was unpacked in, "
        "see docs/datasets.md"
    )
    E255 = (
        "[DWE-E255] {a} and {b} are both named after the split {split}: leave one of "
        "them in the folder"
    )
    E257 = "[DWE-E257] {out} and {src} lie in each other: name another output"
    E258 = "[DWE-E258] {option} says nothing when the format is {format}: leave it out"
    E260 = (
        "[DWE-E260] {path} has no {file}: an account is of a folder with "
        "entities.jsonl and documents such as train.jsonl"
    )
    E262 = (
        "[DWE-E262] --kb-share {share:g} --seed {seed} keeps none of the {n:,} "
        "entities of {path}: keep more of them, or try another seed"
    )
    E261 = "[DWE-E261] --hold-out needs a train split, and {path} has none"
    E280 = (
        "[DWE-E280] {path} has none of the {n:,} photographs that are listed, or none "
        "of products that share a noun, so there is nothing to link. docs/datasets.md "
        "says where to fetch them"
    )
    E281 = (
        "[DWE-E281] {path}, line {line} is not as published: expected {expected}. "
        "docs/datasets.md says where to fetch the file"
    )
    E270 = (
        "[DWE-E270] {url} gives no answer ({reason}; attempts: {attempts}). What was "
        "fetched is kept in {folder}: run the same command again to go on"
    )
    E271 = (
        "[DWE-E271] Another run fetches pictures into the folder of {path}: wait for "
        "its end, or name another folder"
    )
    E272 = (
        "[DWE-E272] {path} is no index of fetched pictures that can be read "
        "({reason}): delete it, and they are fetched again, or name another folder"
    )
    E500 = "[DWE-E500] Unknown channel: {channels}. There are {known}"
    E502 = "[DWE-E502] The network is not built: initialise or load the pipeline first"
    E503 = (
        "[DWE-E503] The linker's weights are damaged, or of another version of "
        "spacy-dwe, for which it has to be trained again: {reason}"
    )
    E504 = "[DWE-E504] {doc}: {reason}"
    E505 = (
        "[DWE-E505] No training example has an entity with a kb_id: label mentions "
        'with "kb_id" and read them with spacy-dwe.Corpus.v1'
    )
    E506 = (
        "[DWE-E506] The dwe channel compares with entity vectors, and the KB {kb} has "
        "none of a text encoder: build it with `python -m spacy dwe kb build --clip` "
        'or `--text-encoder`, choose head = "linear", which can do with pictures '
        "alone, if the KB has any, or leave dwe out of the channels"
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
    E515 = (
        "[DWE-E515] The network needs a modality that is not gated, and has {names}: "
        "leave text or vision out of `without`"
    )
    E516 = (
        "[DWE-E516] The linker's weights read the modalities {names}, which the config "
        "does not have: name them in [components.dwe_linker.model.modalities]"
    )
    E517 = "[DWE-E517] {name} = {value!r} is none of {choices}"
    E518 = "[DWE-E518] The modality {name!r} extracted of {doc} {reason}"
    E519 = (
        "[DWE-E519] There are no modalities {names} to read or leave out with head = "
        "{head!r}: it has {known}"
    )
    E520 = (
        "[DWE-E520] The corpus has no path: pass --paths.train and --paths.dev, or set "
        "them in the config"
    )
    E521 = (
        "[DWE-E521] The KnowledgeBase has no path: pass --paths.kb, set it in the "
        "config, or set the variable DWE_KB"
    )
    E522 = "[DWE-E522] [training.logger] progress_bar = {value!r}: use one of {choices}"
    E523 = (
        "[DWE-E523] The saved weights were trained with the channels {channels}, which "
        "this pipeline does not have: name them in "
        "[components.dwe_linker.more_channels] and pass --code FILE with their code, "
        "or leave them out of `channels` and train again"
    )
    E525 = (
        "[DWE-E525] The weights were trained with {columns} of the channel {channel}, "
        "which computes {known} here: use the code that the pipeline was trained with, "
        "or train again"
    )
    E526 = (
        "[DWE-E526] The attribute _.{name} of {doc} is read by a channel: it can be "
        "text, a number, true or false, or a list of these"
    )
    E528 = (
        "[DWE-E528] The channel {channel} computed {found}: `compute` gives values and "
        "which there are, finite numbers, each of shape {expected}: a row for each "
        "candidate, and its columns"
    )
    E529 = (
        "[DWE-E529] more_channels: {name} is no channel, or has a name of ours ({taken}"
        "): it has `columns`, a mapping of names to weights, `reads`, a list of "
        "'text', 'pictures' or '_.NAME', and `compute`, see docs/extending.md"
    )
    E530 = (
        "[DWE-E530] The generator of candidates gave no `Candidates` of {n} mentions "
        "whose rows are all rows of the KB; of an id that the KB lacks `kb.rows_of` "
        "gives -1"
    )
    E531 = (
        "[DWE-E531] A channel asks for the attribute {name}, which is not among what "
        "it `reads`: add '_.{name}' there"
    )
    E532 = (
        "[DWE-E532] The attribute Span._.{name} is registered as something else: give "
        "the linker another candidates_attr, as [components.dwe_linker] "
        'candidates_attr = "my_candidates"'
    )
    E540 = (
        "[DWE-E540] {pipeline} is not a folder with a linker that was saved there: "
        "calibrate the pipeline before it is packaged"
    )
    E527 = "[DWE-E527] {name} is no setting of the linker: it has {known}"
    E541 = (
        "[DWE-E541] The weights of {pipeline} were never trained: there is nothing to "
        "calibrate"
    )
    E542 = (
        "[DWE-E542] {pipeline} stays as it is: calibrating does not make its "
        "probabilities fit documents better that are held out. More documents may; "
        "--force does it all the same"
    )
    E543 = (
        "[DWE-E543] {pipeline} is not a folder with a linker that was saved there, so "
        "no coverage can be set in it: leave out --save"
    )
    E544 = "[DWE-E544] {path} holds no mention that could be linked"
    E545 = (
        "[DWE-E545] The linker was trained with {sets} vectors as they were "
        "standardised then, and the KB {kb} has fitted that anew: train again with "
        "`python -m spacy train`, link to the KB of the training, which the variable "
        "DWE_KB may name, or leave dwe out of the channels"
    )


class Warnings:
    W001 = "[DWE-W001] {image} of {doc} cannot be read and is ignored: {reason}"
    W150 = (
        "[DWE-W150] {n} of {of} boxes on {image} of {doc} are left out: too small, "
        "doubled, beside the picture, or more than max_regions"
    )
    W152 = (
        "[DWE-W152] {name} looks for objects, faces or scenes, and model.head = "
        "'linear' reads none of them: set it to 'dwe', or visual to null"
    )
    W201 = "[DWE-W201] {image} is left out: {reason}"
    W100 = "[DWE-W100] The picture {image} of entity {id} is left out: {reason}"
    W130 = "[DWE-W130] {path}, line {line} is left out: {reason}"
    W131 = "[DWE-W131] {path}, page {page} is left out: {reason}"
    W132 = (
        "[DWE-W132] No item that is kept of {path} has a page on {wiki}, so the dump "
        "of {wiki} says nothing of any"
    )
    W240 = (
        "[DWE-W240] The weights {path} have other names than {name!r} ({theirs!r}, not "
        "{ours!r}): they are taken in order, in which all tensors agree in shape"
    )
    W241 = (
        "[DWE-W241] {name!r} is used with {what} = {given}, but its weights say {own}: "
        "vectors are worse where the weights were trained otherwise"
    )
    W242 = (
        "[DWE-W242] The weights {path} look like OpenAI's CLIP, which was trained with "
        "QuickGELU, and {name!r} has GELU: its vectors are worse. Name {other!r}"
    )
    W250 = (
        "[DWE-W250] {n:,} samples are held out, not {wanted:,}: common golds and "
        "sentences tie the others together"
    )
    W120 = "[DWE-W120] {path}, line {line}: {title!r} is left out: {reason}"
    W122 = "[DWE-W122] The wiki {wiki} says: {warning}"
    W140 = (
        "[DWE-W140] {path}: {count:,} ids are not in {table}, such as {id!r} in line "
        "{line}; their aliases are left out"
    )
    W141 = (
        "[DWE-W141] {path}: the column {column!r} is left out, as another is read as "
        "{column}"
    )
    W142 = (
        "[DWE-W142] {path}: {count:,} ids are not in the KnowledgeBase, such as "
        "{id!r}; they are left out"
    )
    W143 = (
        "[DWE-W143] {path} is left out: wherever {out} is used, it must lie there, or "
        "be named in [components.{name}.{setting}]"
    )
    W144 = (
        "[DWE-W144] [components.{name}.{setting}] {options} is left out: the bundled "
        "encoder runs with its defaults"
    )
    W101 = (
        "[DWE-W101] {other} has the vectors {sets}, and {kb} has none of them: they "
        "are not taken over. `python -m spacy dwe kb encode` makes them"
    )
    W102 = (
        "[DWE-W102] No entity of {kb} has what the encoder of the space {space} reads: "
        "it made no vectors, and the KB does not remember it. Name it again when "
        "entities are added that have"
    )
    W270 = (
        "[DWE-W270] {n:,} of {of:,} pictures are left out: {reasons}. {path} lists them"
    )
    W500 = (
        "[DWE-W500] The documents of the first {n:,} labelled mentions have no "
        "entities, so there is nothing to train on: with use_gold_ents = false, name "
        "the component that recognises entities in [training] annotating_components"
    )
    W501 = (
        "[DWE-W501] The optimizer's state of the earlier run is not used, and a fresh "
        "one starts: {reason}"
    )
    W502 = (
        "[DWE-W502] None of the {n:,} entities that the training data names is in the "
        "KB {kb}. Ids of the data: {missing}; of the KB: {present}. Build the KB from "
        "the entities of this data, or label with its ids"
    )
    W503 = (
        "[DWE-W503] Only {found:,} of the {n:,} entities that the training data names "
        "are in the KB {kb}: mentions of the others are learned as NIL. Missing are "
        "{missing}"
    )
    W504 = (
        "[DWE-W504] None of the first {n:,} training mentions has more than one "
        "candidate in the KB {kb}, so there is little to learn: raise n_candidates "
        "(now {n_candidates}), choose another generate_candidates, or see with "
        "`python -m spacy dwe kb search` what a mention finds"
    )
    W505 = (
        "[DWE-W505] Every labelled mention is NIL: the linker can only learn to link "
        "nothing. Label mentions with ids of the KB {kb}, too"
    )
    W263 = (
        "[DWE-W263] Encoder outputs are held in memory alone, and will be computed "
        "again by later commands: {reason}"
    )
    W200 = "[DWE-W200] {path} holds no documents"
