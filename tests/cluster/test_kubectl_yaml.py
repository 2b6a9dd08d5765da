"""Two readers of one YAML: `qinstruct` and a real kubectl, word by word and file by file."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.harness import needs
from cluster.harness.programs import program
from qinstruct_operator.cli.document import load_document
from qinstruct_operator.core.render import render_yaml
from qinstruct_operator.kubectl_yaml import plain_value
from qinstruct_trainer.contract.errors import ConfigError
from support.readme import ROOT

pytestmark = pytest.mark.cluster

HEAD: Final = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
SEED: Final = int(os.environ.get("QINSTRUCT_YAML_SEED", "0"))
NUM_WORDS: Final = 12_000
CHUNK: Final = 4_000
ANY: Final = "0011789_+-.:eExXoObBaAfFnNyYtTuUlLsSrR~ipI"
NUMERIC: Final = "0178_+-.eExob:"
SPECIAL: Final = (
    *("y", "YES", "on", "~", "null", "", "1:30", "1e5", "2001-12-14", "2001-12-14T21:59:43Z", "="),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"),
    *("-9223372036854775808", "-9223372036854775809", "+18446744073709551615", "1e20", "1e21"),
    *("0xFFFFFFFFFFFFFFFF", "+0xFFFFFFFFFFFFFFFF", "0x1FFFFFFFFFFFFFFFF", "-0x8000000000000000"),
    *("01777777777777777777777", "07777777777777777777777777", "1.2345678901234568e18", "9.3e18"),
    *("1e400", "-1e400", ".5e999", "1e-999", "-0", "-0.0", "1e-7", "\u0663", "1\u0663"),
    *("0b" + "1" * 64, "0b" + "1" * 65, "0b-" + "1" * 63, "0b-" + "1" * 64, "1" * 400),
)


@pytest.fixture(scope="module")
def kubectl() -> Path:
    """The test cluster's; where its programs are left out, that of this machine."""
    found = shutil.which("kubectl")
    if needs.left_out() and found is not None:
        return Path(found)
    with needs.reporting():
        return program("kubectl")


def read_by(kubectl: Path, text: str) -> dict[str, Any] | None:
    """What kubectl makes of a file, which it need not ask a server for; None: it refuses it."""
    command = [str(kubectl), "patch", "--local", "--filename=-", "--type=merge", "--patch={}"]
    done = subprocess.run(
        [*command, "--output=json"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return None
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def read_by_us(text: str, folder: Path) -> dict[str, Any] | None:
    file = folder / "run.yaml"
    file.write_bytes(text.encode())
    try:
        return load_document(str(file))
    except ConfigError:
        return None


def is_same(ours: object, theirs: object) -> bool:
    """Equal as JSON: of a number above 64 bits the text does not say whether it has a fraction."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(is_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, int) and abs(theirs) >= 2**63:
        return ours == float(theirs)
    return type(ours) is type(theirs) and ours == theirs


def random_words() -> Sequence[str]:
    draw = random.Random(SEED)
    drawn = (
        draw.choice(("", "", ".")) + "".join(draw.choices(signs, k=draw.randint(1, 7)))
        for signs in (ANY, NUMERIC)
        for _ in range(NUM_WORDS)
    )
    # What these are depends on more than the word: an element of a list, and a key.
    return [word for word in (*SPECIAL, *dict.fromkeys(drawn)) if word != "-" and word[-1:] != ":"]


def test_every_word_is_the_same_value_to_both(kubectl: Path) -> None:
    words = random_words()
    differing = []

    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        document = read_by(kubectl, f"{HEAD}words:\n" + "".join(f"- {word}\n" for word in chunk))
        assert document is not None
        read = [(word, plain_value(word)) for word in chunk]
        pairs = zip(read, document["words"], strict=True)
        differing += [(word, ours, said) for (word, ours), said in pairs if not is_same(ours, said)]

    assert len(words) > NUM_WORDS
    assert differing == []


FILES: Final[dict[str, str]] = {
    "keys that are no text": "a: {1: x, yes: x, 0x10: x, 2001-12-14: x, '1e5': x}\n",
    "quotes": "a: [\"1e5\", 'yes', \"\\u00e9\", '']\n",
    "blocks": "a: |\n  1e5\nb: >-\n  yes\n  no\n",
    "an empty value": "a:\nb: {c: }\n",
    "words in braces": "a: {b: 1:30, c: [1e5, y]}\n",
    "text over two lines": "a: one\n  two\n",
    "CRLF": "a: 1e5\r\nb: y\r\n",
}
_JSON_HEAD: Final = '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "a": '
JSON_FILES: Final[dict[str, str]] = {
    "JSON": _JSON_HEAD + "[1e5, 1.0, -0, 0.5, true, null]}",
    "JSON with tabs": _JSON_HEAD + "[\n\t1\n]}\n",
    "JSON with a surrogate pair": _JSON_HEAD + '"\\ud83d\\ude00"}',
    "JSON with large numbers": _JSON_HEAD + "[9223372036854775807, 9223372036854775808, 1e20]}",
    "a comment first": f"# one\n---\n{HEAD}",
}


@pytest.mark.parametrize(
    "text",
    [*(HEAD + text for text in FILES.values()), *JSON_FILES.values()],
    ids=(*FILES, *JSON_FILES),
)
def test_a_file_is_the_same_document_to_both(kubectl: Path, text: str, tmp_path: Path) -> None:
    theirs, ours = read_by(kubectl, text), read_by_us(text, tmp_path)

    assert theirs is not None
    assert is_same(ours, theirs), f"{ours} is not {theirs}"


@pytest.mark.parametrize(
    "text",
    [
        *("a: .inf\n", "a: -.INF\n", "a: .nan\n", "a: {~: 1}\n", "a: {: 1}\n"),
        *("a: {b: 1}: 2\n", 'a: "\\ud83d"\n', "a: 1\nb\n", "a: [1\n", "a:\n\tb: 1\n", "a: b: c\n"),
        *("--- x\n", "a: 1\n--- {b: 1}\n", "a: *x\n", "a: !!int x\n"),
    ],
)
def test_what_kubectl_refuses_is_refused(kubectl: Path, text: str, tmp_path: Path) -> None:
    assert read_by(kubectl, HEAD + text) is None
    assert read_by_us(HEAD + text, tmp_path) is None


@pytest.mark.parametrize("sample", sorted((ROOT / "manifests/samples").glob("*.yaml")), ids=str)
def test_a_sample_is_the_same_document_to_both(kubectl: Path, sample: Path) -> None:
    theirs = read_by(kubectl, sample.read_text("utf-8"))

    assert load_document(str(sample)) == theirs


def test_text_that_we_write_is_text_to_kubectl(kubectl: Path) -> None:
    words = [word for word in random_words() if word][:CHUNK]
    written = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    manifest = written | {"words": words, "keys": dict.fromkeys(words, "x")}

    assert read_by(kubectl, render_yaml([manifest])) == manifest
