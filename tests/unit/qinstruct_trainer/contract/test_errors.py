import pytest

from qinstruct_trainer.contract import errors
from qinstruct_trainer.contract.errors import DataError, RunError

KINDS: list[type[RunError]] = RunError.__subclasses__()
EXIT_CODES = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_has_a_known_exit_code_and_a_reason(kind: type[RunError]) -> None:
    assert kind.exit_code in EXIT_CODES - {errors.EXIT_OK}
    assert kind.reason.isalnum()
    assert kind.reason[0].isupper()


def test_no_two_kinds_have_one_reason() -> None:
    assert len({RunError.reason, *(kind.reason for kind in KINDS)}) == len(KINDS) + 1


def test_exit_codes_of_sysexits_and_of_timeout() -> None:
    assert {0, 65, 69, 70, 71, 74, 75, 76, 78, 124} == EXIT_CODES


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('a\n{"v": 1}', r'a\n{"v": 1}'),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2028\x85\udcff", r"\u2028\x85\udcff"),
        ("ä 写真 \U0001f600", "ä 写真 \U0001f600"),
    ],
)
def test_a_message_is_one_line_whatever_a_name_in_it_is(name: str, shown: str) -> None:
    error = DataError(f"image {name} is missing")
    assert str(error) == f"image {shown} is missing"
    assert str(DataError(str(error))) == str(error)
