import pytest

from qinstruct_trainer.contract.urls import hide_secrets, shown_url, url_identity

SECRETS = {
    "https://me:s3cret@host:1/a/b?token=s3cret": "https://host:1/a/b",
    "https://host/a?X-Amz-Signature=s3cret&x=1": "https://host/a",
    "https://host/a#s3cret": "https://host/a",
    "https://s3cret@host/a": "https://host/a",
    "https://a:s3cret@b@host/a": "https://host/a",
    "https://host/a b?token=s3cret": "https://host/a b",
    "https://host?s3cret": "https://host",
    "https://[broken/a?token=s3cret": "https://[broken/a",
    "s3://bucket/key?s3cret": "s3://bucket/key",
    "https:/host/a?token=s3cret": "https:/host/a",
    "https://me:s3cret@cache/https://host/a": "https://cache/https://host/a",
    "https://cache/https://me:s3cret@host/a": "https://cache/https://host/a",
    "https://me:s3cret@cache/https://me:s3cret@host/a?s3cret": "https://cache/https://host/a",
    "https://me:s3/cret@host/a": "https://host/a",
    "https://me:1s?s3cret@host/a": "https://host/a",
    "me:s3cret@host/a": "host/a",
    "//me:s3cret@host/a": "//host/a",
    "https:/me:s3cret@host/a": "https:/host/a",
    "https:me:s3cret@host/a": "host/a",
    "https:\\\\me:s3cret@host/a": "https:\\\\host/a",
}


@pytest.mark.parametrize(("url", "shown"), SECRETS.items())
def test_secrets_of_an_address_are_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert url_identity(url).startswith(f"{shown}#sha256=")
    assert "s3cret" not in url_identity(url)
    assert url_identity(url) != url_identity(url + "x")


@pytest.mark.parametrize(
    "url",
    [
        "https://host:1/a/b.tar",
        "file:///data/a.tar",
        "builtin:mix",
        "owner/name",
        "",
        "/a@b",
        "https://host:1/a@b",
    ],
)
def test_an_address_without_secrets_is_shown_and_stored_as_it_is(url: str) -> None:
    assert shown_url(url) == url_identity(url) == hide_secrets(url) == url


def test_each_address_in_a_text_is_found() -> None:
    text = "from 'https://a/b?t=s3cret' or https://u:s3cret@c/d; see (http://e/f?s3cret), then {g}"
    said = "from 'https://a/b' or https://c/d; see (http://e/f), then {g}"
    assert hide_secrets(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from https://a/b?t=x's3cret, again", "from https://a/b, again"),
        ("from https://a/b?t=x\\s3cret", "from https://a/b"),
        ("from https://me:x's3cret@a/b.", "from https://a/b."),
        ('{"url":"https://a/b?t=<s3cret>"}', '{"url":"https://a/b"}'),
        ('["https://a/b","https://me:s3cret@c/d"]', '["https://a/b","https://c/d"]'),
    ],
)
def test_a_secret_may_have_any_signs_in_it(text: str, said: str) -> None:
    assert hide_secrets(text) == said


def test_half_a_character_in_an_address_is_no_error() -> None:
    """As JSON can spell it, and no encoding."""
    assert url_identity("https://host/a?\ud800").startswith("https://host/a#sha256=")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["", "/", "@", "/@host", "?", "://"])
@pytest.mark.parametrize("part", ["a", "a:", ":", "a+", "://", "http://", "a@", "[", "1"])
def test_no_text_takes_long(part: str, end: str) -> None:
    """In a time in the square of its length a word of a megabyte would take hours."""
    text = part * (200_000 // len(part)) + end
    for url in (text, f"https://{text}", f"https://host/{text}"):
        assert len(shown_url(url)) < 100
        hide_secrets(url)
        hide_secrets(" ".join([url[:2000]] * 5))


def test_what_is_too_long_for_an_address_is_shown_by_its_length() -> None:
    url = "https://me:s3cret@host/" + "a" * 2048
    assert shown_url(url) == "(an address of 2,071 characters)"
    assert hide_secrets(f"from {url}, again") == "from (an address of 2,071 characters), again"
    assert "s3cret" not in url_identity(url)
    assert url_identity(url) != url_identity(url[:-1] + "b")


def test_a_long_scheme_hides_no_secret() -> None:
    assert hide_secrets("x" * 40 + "https://me:s3cret@host/a") == "x" * 40 + "https://host/a"
