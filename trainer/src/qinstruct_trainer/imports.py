"""Imports of large libraries, without a search for garbage in the middle of them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Import many modules while the garbage collector rests: a quarter of the time was its.

    Thousands of modules are half a million objects that stay, which it would look through again
    and again. From then on it leaves them alone.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
