"""Memory of a library's code that is not run any more, given back."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/smaps")
LLVM = "libllvmlite"
"""What numba compiles and loads kernels with. A kernel that is loaded needs nothing of it: 66 MB, a sixth of a worker."""


def give_back(library: str) -> int:
    """Give the pages of a library's code and constants back; how many bytes are not held any more.

    What is needed again is read from its file again. Pages that are not as in the file stay: nothing of a part that may be written, or has a page of
    this process' own, is touched. Nothing happens where the system does not say how its memory is mapped.
    """
    if not _MAPS.exists():
        return 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    given = 0
    for start, end, held in list(_unchanged(library)):
        if advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED) == 0:
            given += held
    return given


def _unchanged(library: str) -> Iterator[tuple[int, int, int]]:
    """Begin, end and bytes held of each part of a library in this process' memory that is as in its file."""
    span, held = None, 0
    with _MAPS.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, *rest = line.split()
            if not name.endswith(":"):
                named = len(rest) > len(("permissions", "offset", "device", "inode")) and library in rest[-1].rpartition("/")[2]
                span = name if named and "w" not in rest[0] else None
            elif span is not None and name == "Rss:":
                held = int(rest[0]) * 1024
            elif span is not None and name == "Anonymous:" and rest[0] == "0":
                start, _, end = span.partition("-")
                yield int(start, 16), int(end, 16), held
