"""Python's collector of cyclic garbage, kept away from passes over millions of rows."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Have no cyclic garbage looked for in this block, which makes none.

    Rows and decoded JSON hold no cycles, but their number sets the collector off, and each time it
    goes through all that the process holds, which in Dagster's is much.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
