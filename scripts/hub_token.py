"""A detector for the secret scan: access tokens of the Hugging Face hub, which runs are given."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class HubTokenDetector(RegexBasedDetector):
    """`hf_` and 34 letters; organisations' begin with `api_org_`."""

    secret_type = "Hugging Face token"  # pragma: allowlist secret - its name, none itself
    denylist = (re.compile(r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),)
