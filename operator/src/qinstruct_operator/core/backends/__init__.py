"""Kinds of workload that can run the training pod: a module for each, listed in `BACKENDS`. Pure.

A backend wraps a finished pod template into its object, and names the conditions by which that
object reports its end; the rest of training is the same for all. May import `kinds`, and nothing
of the core.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from qinstruct_operator.core.backends.base import Backend
from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB

__all__ = ["BACKENDS", "Backend"]

BACKENDS: Final[Mapping[str, Backend]] = MappingProxyType(
    {backend.kind.kind: backend for backend in (PYTORCHJOB,)}
)
"""Every backend by its name in `spec.backend`."""
