"""Code that is not run any more is not held, and nothing else goes with it."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import numba
import pytest

from stream_app.features.warm import warm
from stream_app.operating.code_pages import LLVM, give_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how memory is mapped")
MEGABYTE = 2**20


def test_the_compilers_code_is_given_back_and_kernels_go_on() -> None:
    """Those that are loaded do not need it; one that is compiled afterwards has it read again."""
    warm()
    given = give_back(LLVM)
    assert given > 10 * MEGABYTE
    assert give_back(LLVM) < given / 10
    warm()
    assert numba.njit(lambda n: n + 1)(1) == 2


def test_a_page_that_is_not_as_in_its_file_stays(tmp_path: Path) -> None:
    """Linkers change pages and then forbid writing them: given back, they would be as before, and the next call would end the process."""
    file = tmp_path / "linked.so"
    file.write_bytes(b"file" * mmap.PAGESIZE)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as linked:
        linked[:4] = b"ours"
        at = ctypes.addressof(ctypes.c_char.from_buffer(linked))
        protect = ctypes.CDLL(None).mprotect
        assert protect(ctypes.c_void_p(at), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ) == 0
        try:
            give_back("linked.so")
            assert linked[:4] == b"ours"
        finally:
            protect(ctypes.c_void_p(at), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE)


def test_a_library_that_is_not_there_is_no_error() -> None:
    """Nothing is given back."""
    assert give_back("no-such-library") == 0
