"""What the script says when something is wrong, beside the package's words."""

from spacy_dwe import errors


class Errors(errors.Errors):
    E283 = (
        "[DWE-E283] The descriptions of {path} do not say by what to tell namesakes "
        "apart: of three or more that share an alias, some need colours of parts, such "
        'as "throat yellow and white, bill black", that are true of two or three'
    )
    E284 = (
        "[DWE-E284] {path} has no photographs for {split}: it needs two and more "
        "namesakes, in documents with one mention, one picture and the group {group!r}"
    )
    E285 = (
        "[DWE-E285] {path} exists and holds no such set, so it is not replaced: name a "
        "new or empty folder"
    )
