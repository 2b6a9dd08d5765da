"""How the command ends: its exit code, and what it says of an error."""

import pytest

from qinstruct_operator.cli import app, main
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_UNAVAILABLE, UnavailableError

VIOLATIONS = [Violation("spec.size", "1B", "is unknown", "use 7B"), Violation("a", None, "b", "c")]
ENDS: dict[str, tuple[BaseException, int, str]] = {
    "interrupted": (KeyboardInterrupt(), 130, ""),
    "a bad document": (
        InvalidSpec(VIOLATIONS),
        EXIT_CONFIG,
        "qinstruct: spec.size 1B: is unknown; use 7B\nqinstruct: a: b; c\n",
    ),
    "an error": (UnavailableError("no cluster"), EXIT_UNAVAILABLE, "qinstruct: no cluster\n"),
    "an exit": (SystemExit(3), 3, ""),
    "an exit without a code": (SystemExit(), 0, ""),
    "an exit with a text": (SystemExit("no"), 1, ""),
}


@pytest.mark.parametrize(("end", "code", "said"), ENDS.values(), ids=ENDS)
def test_how_a_command_ends(
    end: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(**_: object) -> None:
        raise end

    monkeypatch.setattr(app, "app", command)
    assert main([]) == code
    assert capsys.readouterr() == ("", said)


def test_an_unknown_option_is_a_mistake_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--colour"]) == 2
    assert "No such option" in capsys.readouterr().err
