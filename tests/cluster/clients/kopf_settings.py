"""kopf settings of an operator under test, loaded by kopf beside the operator's own module.

`TEST_INACTIVITY_SECONDS`: how long a watch may say nothing before kopf opens it anew; the 25
seconds of `handlers.configure` would be a slow test.
"""

import os
from typing import Any

import kopf


@kopf.on.startup()
def configure_for_tests(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Before anything is watched."""
    if seconds := os.environ.get("TEST_INACTIVITY_SECONDS"):
        settings.watching.inactivity_timeout = float(seconds)
