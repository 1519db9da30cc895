"""copyjob: copy tables and files between databases, lakes and object stores, and prove it."""

import os
import sys

__version__ = "0.1.0"

# Arrow reads these once, when it is first imported. Its usual allocator, and the system's, keep
# much of what a part has freed, and so does jemalloc with a heap for each thread: four parts at
# once then take a quarter more memory, and are no faster (measured).
if sys.platform != "win32":  # no jemalloc is built for it
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "narenas:1")
