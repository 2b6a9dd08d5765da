"""kopf settings of an operator under test, loaded by kopf beside the operator's own module.

`TEST_NAMESPACED`: do not list namespaces, which an operator of one namespace need not be
allowed to see. `TEST_INACTIVITY_SECONDS`: how long a watch may say nothing before it is
opened anew; kopf's own 70 seconds would be a slow test.
"""

import os
from typing import Any

import kopf


@kopf.on.startup()
def configure_for_tests(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Before anything is watched."""
    settings.scanning.disabled = bool(os.environ.get("TEST_NAMESPACED"))
    if seconds := os.environ.get("TEST_INACTIVITY_SECONDS"):
        settings.watching.inactivity_timeout = float(seconds)
