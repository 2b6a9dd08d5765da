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
    "an endless number": (b"a: " + b"9" * 5000 + b"\n", "is not valid YAML"),
    "an endless hexadecimal number": (b"a: 0x" + b"F" * 5000 + b"\n", "line 1, is not valid YAML"),
    "an endless octal number": (b"a: 0" + b"7" * 9000 + b"\n", "line 1, is not valid YAML"),
    "an endless binary number": (b"a: -0b" + b"1" * 20000 + b"\n", "line 1, is not valid YAML"),
    "an endless number to the base 60": (b"a: 1" + b":59" * 3000 + b"\n", "is not valid YAML"),
    "an endless float to the base 60": (b"a: 1" + b":59" * 3000 + b".5\n", "is not valid YAML"),
    "an endless number with _": (b"a: 1" + b"_1" * 5000 + b"\n", "is not valid YAML"),
    "an endless number as a key": (b"0x" + b"F" * 5000 + b": 1\n", "is not valid YAML"),
    "an endless number in a list": (b"a: [1, 0x" + b"F" * 5000 + b"]\n", "is not valid YAML"),
    "an endless decimal number": (b"a: -" + b"1" * 5000 + b"\n", "a number of 5,001 characters"),
    "an endless exponent": (b"a: 1.0e+" + b"9" * 5000 + b"\n", "a number of 5,005 characters"),
    "a hexadecimal number without a digit": (b"a: 0x_\n", "is not valid YAML"),
    "a binary number without a digit": (b"a: -0b_\n", "is not valid YAML"),
    "a zone that cannot be": (b"a: 2001-12-14 21:59:43 +99:99\n", "is not valid YAML"),
    "a time that cannot be": (b"a: 2001-12-14 99:99:99\n", "is not valid YAML"),
    "a year that cannot be": (b"a: 0000-01-01\n", "is not valid YAML"),
    "a number as a key": (b"12: 1\n", "line 1, is not valid YAML: a key is not a word"),
    "two spellings of one number as keys": (b"1: a\n0x1: b\n", "a key is not a word"),
    "a number to the base 60 as a key": (b"190:20:30: 1\n", "a key is not a word"),
    "a float as a key": (b"1.0e+999999: 1\n", "a key is not a word"),
    "no number as a key": (b".nan: 1\n", "a key is not a word"),
    "a date as a key": (b"2001-12-14: 1\n", "a key is not a word"),
    "nothing as a key": (b"~: 1\n", "a key is not a word"),
    "yes as a key": (b"yes: 1\n", "a key is not a word"),
    "a merged mapping": (b"spec: {<<: {size: Tiny}, size: 7B}\n", "a key is not a word"),
    "a value without a meaning": (b"a: =\n", "line 1, is not valid YAML"),
    "another version of YAML": (b"%YAML 9.9\n---\na: 1\n", "is not valid YAML"),
    "a tag in disguise": (
        b"%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system 1\n",
        "tag tag:yaml.org,2002:python/name:os.system is not supported",
    ),
    "a date that cannot be": (b"a: 2023-13-45\n", "is not valid YAML"),
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


# As YAML 1.1 reads them: a value of the field, or a sentence that names it.
NUMBERS = {
    "0o17": None,
    "017": "15",
    "0_1_7": "15",
    "089": None,
    "1__0": "10",
    "0x1F": "31",
    "0b101": "5",
    "190:20:30": "685230",
    "1:60": None,
    "1.0e+999999999": None,
    "1e999999999": None,
    "1.5e-99999999999": None,
    ".inf": None,
    "-.INF": None,
    ".NaN": None,
    "2001-12-14": None,
    "2001-12-14t21:59:43.10-05:00": None,
    "yes": None,
    "1.0": None,
    "9" * 39: None,
    '"1"': None,
    "'\u0661'": None,
}


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_a_number_in_any_spelling(
    text: str, value: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"{GOOD}spec: {{size: Tiny, strategy: after, training: {{seed: {text}}}}}\n")
    code = main(["render", str(file)])
    said = capsys.readouterr()
    if value is None:
        assert code == EXIT_CONFIG
        assert said.err.startswith("qinstruct: spec.training.seed ")
        assert said.err.count("\n") == 1
        assert len(said.err) < 250
    else:
        assert code == 0
        assert f'"seed":{value}' in said.out.replace(" ", "")


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
