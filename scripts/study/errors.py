"""What a study says when something is wrong, beside the package's words."""

from spacy_dwe import errors


class Errors(errors.Errors):
    E270 = "[DWE-E270] {path} is no study: {reason}. See docs/ablations.md"
    E271 = (
        "[DWE-E271] {path}: the variable {name} has no value: give it under "
        '"vars", or by --vars.{name} VALUE'
    )
    E272 = "[DWE-E272] {path} has no variant {name!r}: there are {known}"
    E273 = (
        "[DWE-E273] {n} of {total} runs failed: {names}. {folder}/VARIANT/SEED.log "
        "says why; the same command does the rest"
    )
    E274 = (
        "[DWE-E274] Another study is writing to {path}: wait for it, or name another "
        "folder"
    )
    E275 = (
        "[DWE-E275] {value!r} is no list of seeds: give distinct whole numbers from 0, "
        "such as 0,1,2"
    )
    E276 = (
        "[DWE-E276] --{option} is for the study to say: change {path}, or its variables"
    )
    E277 = "[DWE-E277] The model of {name}, seed {seed}, is missing: its run failed"
    E278 = (
        "[DWE-E278] The run of {name}, seed {seed}, is over other mentions than the "
        "first: delete its folder and run the study again"
    )
    E279 = "[DWE-E279] There is no finished run to make a table of"


class Warnings(errors.Warnings):
    W160 = (
        "[DWE-W160] {n} of the 3 or more seeds that a study should have: how much "
        "training again would change is known badly, and not at all from one"
    )
    W161 = (
        "[DWE-W161] {draws:,} draws cannot show anything in a table of {n:,} "
        "differences: pass --draws {needed}"
    )
    W162 = (
        "[DWE-W162] No mention of the test data is in the part {part!r}, which the "
        "table leaves out: there are {parts}"
    )
