"""Numbers as a person reads them. Pure."""

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
FROM_CACHE = "from the cache"
"""What is said of a unit or a source that was there already."""
_STEP = 1000  # decimal units, as data set pages and disks use them


def size_text(num_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves a number of at least 1: `1.4 GB`."""
    value = float(num_bytes)
    for unit in _BYTE_UNITS[:-1]:
        if value < _STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return f"{value:.1f} {_BYTE_UNITS[-1]}"


def duration_text(seconds: float) -> str:
    """Seconds as `0:07`, `12:30` or `3:05:00`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount_text(done: int, total: int | None, unit: str) -> str:
    """How much of a stage is done: `1.2 MB of 8.0 MB`, `40 of 120 files`, `40 files`."""
    if unit == "bytes":
        return size_text(done) if total is None else f"{size_text(done)} of {size_text(total)}"
    return f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
