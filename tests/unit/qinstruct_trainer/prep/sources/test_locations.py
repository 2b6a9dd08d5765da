"""Which address is asked, with which token."""

import pytest

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.prep.sources.locations import Location, location_of

FILE = "/datasets/me/set/resolve/main/labels.json"
TOKEN = {"HF_TOKEN": "hf_s3cret"}
SENT = {"Authorization": "Bearer hf_s3cret"}
MIRROR = {"HF_ENDPOINT": "https://hub.example/"}


@pytest.mark.parametrize(
    ("url", "env", "asked", "headers"),
    [
        ("https://data.example/f?t=1", {}, "https://data.example/f?t=1", {}),
        ("https://data.example/f", TOKEN, "https://data.example/f", {}),
        ("hf://datasets/me/set/labels.json", {}, f"https://huggingface.co{FILE}", {}),
        ("hf://datasets/me/set/labels.json", TOKEN, f"https://huggingface.co{FILE}", SENT),
        ("hf://datasets/me/set/labels.json", MIRROR, f"https://hub.example{FILE}", {}),
        (
            "hf://datasets/me/set/labels.json",
            {"HUGGING_FACE_HUB_TOKEN": "hf_s3cret", "HF_TOKEN": " "},
            f"https://huggingface.co{FILE}",
            SENT,
        ),
        # The table's own addresses are the hub's files too.
        (f"https://huggingface.co{FILE}", TOKEN, f"https://huggingface.co{FILE}", SENT),
        (
            f"https://huggingface.co{FILE}",
            TOKEN | MIRROR,
            f"https://hub.example{FILE}",
            SENT,
        ),
        (f"https://hub.example{FILE}", TOKEN | MIRROR, f"https://hub.example{FILE}", SENT),
        # And these are not.
        ("https://huggingface.co.evil.example/f", TOKEN, None, {}),
        ("https://huggingface.co@evil.example/f", TOKEN, None, {}),
        ("https://huggingface.co:444/f", TOKEN, None, {}),
        ("http://huggingface.co/f", TOKEN, None, {}),
        ("https://hub.example.evil/f", TOKEN | MIRROR, None, {}),
    ],
)
def test_the_token_goes_to_the_hub_alone(
    url: str, env: dict[str, str], asked: str | None, headers: dict[str, str]
) -> None:
    found = location_of("labels", url, env)
    assert (found.url, dict(found.headers)) == (asked or url, headers)


def test_a_location_does_not_show_its_token() -> None:
    assert "s3cret" not in repr(location_of("labels", "hf://datasets/me/set/f", TOKEN))
    assert "s3cret" not in repr(Location("https://h/f?sig=s3cret", SENT))


@pytest.mark.parametrize(
    ("url", "env", "words"),
    [
        ("hf://datasets/set/f", {}, "names no file of the hub; write hf://datasets/OWNER/NAME"),
        ("hf://datasets/me/set/f", {"HF_TOKEN": "hf_s3 cret"}, "HF_TOKEN in the environment"),
        ("hf://datasets/me/set/f", {"HF_ENDPOINT": "hub"}, "HF_ENDPOINT in the environment"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(url: str, env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        location_of("labels", url, env)
    assert "s3" not in str(caught.value)
