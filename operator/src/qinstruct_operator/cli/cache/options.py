"""Ages and sizes as they are written after an option. Pure."""

import re
from typing import Final

from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_trainer.contract.errors import ConfigError

_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE: Final = re.compile(r"(?P<number>\d{1,6})(?P<unit>[mhdw])")


def age_seconds(option: str, text: str) -> float:
    """Seconds of an age: `30d`, `12h`, `2w`, `90m`.

    Raises:
        ConfigError: it is none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{option} {text:.40} is no age; write a whole number with m, h, d or w, e.g. 30d"
        )
    return float(found["number"]) * _SECONDS[found["unit"]]


def size_bytes(option: str, text: str) -> int:
    """Bytes of a size: `500Gi`, `1.5T`, `0`.

    Raises:
        ConfigError: it is none.
    """
    found = parse_quantity(text)
    if found is None or found < 0:
        raise ConfigError(f"{option} {text:.40} is no size; write it as 500Gi or 500G")
    return int(found)
