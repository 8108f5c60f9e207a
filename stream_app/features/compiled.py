"""How kernels are compiled: by numba, ahead of the first payment, kept on disk under a digest of all kernels' sources.

numba itself looks only at the file of the function that is called. Kernels call one another across files, and a cached one must not
outlive a change of what it calls: a worker would compute other features than its model was trained on.
"""

from __future__ import annotations

import hashlib
import inspect
from pkgutil import get_data, iter_modules
from typing import Any

import numba

from stream_app import features


def _cache_folder() -> str:
    """Below numba's own folder if one is set, as in images, else beside this file."""
    names = sorted(module.name for module in iter_modules(features.__path__))
    sources = b"".join(get_data(features.__name__, f"{name}.py") or b"" for name in names)
    beside = f"{inspect.getfile(features).rpartition('/')[0]}/__pycache__"
    return f"{numba.config.CACHE_DIR or beside}/kernels-{hashlib.sha256(sources).hexdigest()[:12]}"


numba.config.CACHE_DIR = _cache_folder()
jit_allocating: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
"""The decorator of a kernel that makes arrays of its own."""

jit: Any = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
"""The decorator of a kernel that makes none and returns none: what it works on is passed to it. Without numba's runtime no view of a row is
counted as a reference, at every call, by an instruction that locks memory: that took a fifth of a payment's time."""
