"""Arrays of a KB that are mapped into memory instead of read."""

from pathlib import Path

import numpy as np

from ..errors import DweError, Errors


def map_array(kb: Path, file: str) -> np.ndarray:
    """Map a .npy file.

    kb (Path): the KB's folder.
    file (str): the file's path below it.
    RETURNS (np.ndarray): the array, read-only.
    RAISES (DweError): the file is missing or damaged.
    """
    try:
        array = np.load(kb / file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DweError(Errors.E104.format(path=kb, file=file)) from None
    except (ValueError, OSError, EOFError) as error:
        raise DweError(Errors.E105.format(path=kb, file=file, reason=error)) from None
    # A plain view: fancy indexing of np.memmap is several times slower.
    return np.asarray(array)
