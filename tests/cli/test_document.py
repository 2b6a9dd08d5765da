"""Files that hold no document: each command refuses them in one sentence, with exit code 78."""

import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_trainer.contract.errors import EXIT_CONFIG

GOOD = "apiVersion: qinstruct.dev/v1alpha1\nkind: QInstructTraining\nmetadata: {name: a}\n"

CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "only a comment": (b"# later\n", "is empty"),
    "a list": (b"- size: Tiny\n", "holds a list"),
    "a word": (b"Tiny\n", "holds a str"),
    "two documents": (b"a: 1\n---\nb: 2\n", "line 2: a second document begins"),
    "not closed": (b"spec: {size: Tiny\n", "is not valid YAML"),
    "a tab": (b"spec:\n\tsize: Tiny\n", "line 2, is not valid YAML"),
    "a key twice": (b"spec: {size: Tiny, size: 7B}\n", "the key size occurs twice"),
    "a key twice at the top": (b"spec: {}\nspec: {}\n", "line 2, is not valid YAML: the key spec"),
    "a mapping as a key": (b"{a: 1}: 2\n", "a key is not a word"),
    "an alias": (b"a: &x [1]\nb: *x\n", "line 2: alias *x is not supported"),
    "a bomb of aliases": (
        b"a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n",
        "alias *a is not supported",
    ),
    "an object": (b"a: !!python/object/apply:os.system [ls]\n", "tag tag:yaml.org,2002:python"),
    "a tag that fails": (b"a: !!int ''\n", "tag tag:yaml.org,2002:int is not supported"),
    "deep nesting": (b"[" * 5000, "nested deeper than 50 levels"),
    "an endless number as a key": (b"1" + b"0" * 200 + b".5: 1\n", "is no text; put it in quotes"),
    "no value as a key": (b"~: 1\n", "the key ~ is no text"),
    "a merge key": (b"a: {<<: {b: 1}}\n", "a merge key << is not supported"),
    "infinity": (b"a: -.inf\n", "line 1, is not valid YAML: -.inf is no finite number"),
    "half a pair": (b'a: "\\ud83d"\n', "half of a surrogate pair is no text"),
    "half a pair in JSON": (b'{"a": "\\ud83d"}\n', "half of a surrogate pair is no text"),
    "two keys that are one": (b"{1: a, '1': b}\n", "the key 1 occurs twice"),
    "two truths that are one": (b"{yes: a, true: b}\n", "the key true occurs twice"),
    "a key twice in JSON": (b'{"a": 1, "a": 2}', "the key a occurs twice"),
    "deep JSON": (b'{"a":' * 5000, "nested deeper than 50 levels"),
    "text after the separator": (b"--- {a: 1}\n", "line 1: text follows ---"),
    "another version of YAML": (b"%YAML 9.9\n---\na: 1\n", "is not valid YAML"),
    "a tag in disguise": (
        b"%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system 1\n",
        "tag tag:yaml.org,2002:python/name:os.system is not supported",
    ),
    "not text": (b"\x89PNG\r\n\x1a\n\x00", "is not UTF-8 text"),
    "UTF-16": (GOOD.encode("utf-16"), "is not UTF-8 text"),
    "a control character": (b"a: \x00\n", "is not valid YAML"),
    "too large": (b"# " + b"x" * 300_000, "larger than 256 KiB"),
}


@pytest.mark.parametrize("command", ["plan", "render", "run"])
@pytest.mark.parametrize(("content", "expected"), CASES.values(), ids=CASES)
def test_a_file_that_is_no_document(
    command: str,
    content: bytes,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_bytes(content)

    code = main([command, "run.yaml"])

    said = capsys.readouterr()
    assert code == EXIT_CONFIG
    assert said.out == ""
    assert said.err.startswith("qinstruct: run.yaml")
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]  # nothing was begun


ENDLESS = {
    "decimal": "9" * 5000,
    "hexadecimal": "0x" + "F" * 5000,
    "octal": "0" + "7" * 9000,
    "binary": "-0b" + "1" * 20000,
    "to the base 60": "1" + ":59" * 3000,
    "with _": "1" + "_1" * 5000,
    "with a fraction": "1." + "4" * 100_000,
    "with an exponent": "1e" + "9" * 5000,
    "in a list": "[1, 0x" + "F" * 5000 + "]",
}


@pytest.mark.parametrize("number", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_number_is_refused_in_a_short_sentence(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"{GOOD}spec: {{size: Tiny, strategy: after, gpu: {{nodes: {number}}}}}\n")

    assert main(["plan", str(file)]) == EXIT_CONFIG

    said = capsys.readouterr().err
    assert "spec.gpu.nodes" in said
    assert len(said) < 500


@pytest.mark.parametrize("file", ["missing.yaml", "a-folder", "a-folder/x\0y", "x" * 5000])
def test_a_file_that_cannot_be_read(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-folder").mkdir()

    assert main(["plan", f"{tmp_path}/{file}"]) == EXIT_CONFIG

    said = capsys.readouterr().err
    assert "cannot be read: " in said
    assert said.count("\n") == 1


def test_standard_input_is_read_and_named() -> None:
    command = [sys.executable, "-m", "qinstruct_operator", "plan", "-"]
    spec = GOOD + "spec: {size: Tiny, strategy: after}\n"

    planned = subprocess.run(command, input=spec, capture_output=True, text=True, check=True)
    refused = subprocess.run(command, input="[]", capture_output=True, text=True, check=False)

    assert planned.stdout.startswith("a: size Tiny, strategy after\n")
    assert (refused.returncode, refused.stdout) == (EXIT_CONFIG, "")
    assert refused.stderr.startswith("qinstruct: standard input holds a list")
