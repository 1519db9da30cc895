"""How many heaps the C library keeps for the threads of a process that copies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

_ALONE = -1

# glibc tells of its heaps in XML, https://man7.org/linux/man-pages/man3/malloc_info.3.html
_COUNT = f"""
import copy_core.transfer
import ctypes, os, tempfile, threading
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    print({_ALONE})
    raise SystemExit
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
start = threading.Barrier(8)
def use():
    start.wait()
    assert libc.malloc(ctypes.c_size_t(100_000))
    start.wait()
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.NamedTemporaryFile() as told:
    stream = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(told.read().count(b"<heap nr="))
"""


def heaps(more: Mapping[str, str]) -> int:
    kept = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", _COUNT]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**kept, **more})
    return int(ran.stdout)


def test_threads_that_copy_share_one_heap() -> None:
    assert heaps({}) in (1, _ALONE)


def test_the_environment_has_the_last_word() -> None:
    assert heaps({"MALLOC_ARENA_MAX": "3"}) in (3, _ALONE)
