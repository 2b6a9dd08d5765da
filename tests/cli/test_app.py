"""Commands on a document: bad ones are refused in a sentence, good ones planned and rendered."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from qinstruct_operator.cli import main
from qinstruct_trainer.contract.contents import Contents
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK
from qinstruct_trainer.contract.launch import contents_command
from support.bad_specs import BAD_SPECS, BadSpec
from support.operator_documents import ROOT, RUNS, SAMPLES

GOLDEN = ROOT / "tests" / "golden" / "manifests"


def write(folder: Path, document: object) -> str:
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    return str(file)


# Of a file with an infinite number kubectl reads nothing, and neither do we: `test_document.py`.
IN_A_FILE = {name: bad for name, bad in BAD_SPECS.items() if name != "infinite learning rate"}


@pytest.mark.parametrize("command", ["plan", "render", "run"])
@pytest.mark.parametrize("bad", IN_A_FILE.values(), ids=IN_A_FILE)
def test_a_bad_spec_is_refused_in_one_sentence(
    command: str,
    bad: BadSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document, field, text = bad
    monkeypatch.chdir(tmp_path)

    code = main([command, write(tmp_path, document)])

    said = capsys.readouterr()
    assert code == EXIT_CONFIG
    assert said.out == ""
    (sentence,) = said.err.splitlines()
    assert sentence.startswith(f"qinstruct: {field}")
    assert text in sentence
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", ["plan", "render", "run"])
def test_a_bad_spec_from_a_shell(command: str, tmp_path: Path) -> None:
    document, field, _ = BAD_SPECS["unknown strategy"]
    done = subprocess.run(
        [sys.executable, "-m", "qinstruct_operator", command, write(tmp_path, document)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert done.stderr.startswith(f"qinstruct: {field} aftr: ")
    assert done.stderr.count("\n") == 1


def test_every_fault_gets_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, _, _ = BAD_SPECS["unknown strategy"]
    document = document | {"spec": document["spec"] | {"size": "1B", "colour": "red"}}
    assert main(["plan", write(tmp_path, document)]) == EXIT_CONFIG
    fields = [line.split()[1].rstrip(":") for line in capsys.readouterr().err.splitlines()]
    assert sorted(fields) == ["spec.colour", "spec.size", "spec.strategy"]


@pytest.mark.parametrize("name", RUNS)
def test_render_prints_the_golden_manifests(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for _ in range(2):
        assert main(["render", str(SAMPLES / f"{name}.yaml")]) == EXIT_OK
        said = capsys.readouterr()
        assert said.err == ""
        texts.append(said.out)
    assert texts[0] == texts[1] == (GOLDEN / f"{name}.yaml").read_text("utf-8")
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(texts[0])]
    assert kinds[0] == "ConfigMap"
    assert kinds[-1] == "PyTorchJob"


def test_crd_prints_the_checked_in_definition(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crd"]) == EXIT_OK
    (definition,) = (ROOT / "crds").glob("qinstruct.dev_*.yaml")
    assert capsys.readouterr().out == definition.read_text("utf-8")


def test_planning_imports_nothing_heavy() -> None:
    script = (
        "import sys; from qinstruct_operator.cli import main\n"
        f"main(['plan', {str(SAMPLES / 'run-7b-mix.yaml')!r}])\n"
        "heavy = {'torch', 'numpy', 'kubernetes', 'kopf', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "qinstruct_operator", "crd"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_version_says_the_version_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == EXIT_OK
    assert capsys.readouterr().out == f"qinstruct {version('qinstruct')}\n"


def test_version_as_json_is_what_the_trainer_says_of_itself() -> None:
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in (
            [sys.executable, "-m", "qinstruct_operator", "--version", "--json"],
            contents_command(sys.executable),
        )
    ]
    assert said[0] == said[1]
    found = Contents.model_validate_json(said[0])
    for package in ("qinstruct", "torch", "kopf", "kubernetes"):
        assert found.packages[package] == version(package)
    assert found.attention == ("sdpa", "eager")


def test_json_alone_is_refused_and_no_command_shows_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--json"]) == 2
    assert "--json goes with --version" in capsys.readouterr().err
    assert main([]) == 2
    assert "Usage: qinstruct [OPTIONS] COMMAND" in "".join(capsys.readouterr())
