"""What the commands of photographs say when something is wrong, beside the package's
words."""

from spacy_dwe import errors


class Errors(errors.Errors):
    E282 = (
        "[DWE-E282] {path} has no {file}: pass a folder with entities.jsonl, "
        "documents and pictures as `--vars.{name} DIR`. {source}"
    )
    E287 = "[DWE-E287] {path} cannot be parted: {reason}"
    E288 = (
        "[DWE-E288] {path}: the document {id} is in {other}, too, and a file that has "
        "both has two of that id"
    )
    E289 = "[DWE-E289] There is nothing to try: {reason}"
