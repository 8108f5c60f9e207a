"""The compiled kernels of a container image: read where they lie, on a root file system that nobody may write to.

numba uses a cache only in a folder that it can write to. In an image nothing is left to write: `NUMBA_CACHE_LOCATOR_CLASSES` names the
class below there, and a kernel that the image lacks stops the worker at its start, in place of a compilation at each start.
"""

from __future__ import annotations

from numba.core.caching import UserProvidedCacheLocator


class SealedCache(UserProvidedCacheLocator):  # type: ignore[misc] # numba has no types
    """The folder `NUMBA_CACHE_DIR`, without the trial of writing to it."""

    def ensure_cache_path(self) -> None:
        """Promise nothing: to read, the folder need not be writable."""
