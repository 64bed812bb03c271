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


class Warnings:
    W001 = "[DWE-W001] {image} of {doc} cannot be read and is ignored: {reason}"
