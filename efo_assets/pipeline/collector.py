"""Python's collector of cyclic garbage, disabled during passes over millions of rows."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable the cyclic garbage collector in this block.

    Rows and decoded JSON hold no cycles, but their number sets the collector off, and each time it
    goes through all objects of the process, which are many beside Dagster.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
