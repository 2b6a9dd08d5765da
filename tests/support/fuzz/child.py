"""Runs the inputs of one target, in a process of bounded memory in which nothing may hang.

    python -m support.fuzz.child TARGET EXAMPLE

Reads inputs from stdin, each behind its length, and answers each with a line of JSON. Whatever
takes it down (a crash of a library, a hang, memory that is never given) its parent sees.
"""

import faulthandler
import importlib
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from qinstruct_operator.errors import InvalidSpec
from qinstruct_trainer.contract.errors import RunError
from support.fuzz.verdict import Verdict, must_be_shown, sentences

Run = Callable[[bytes], object]

_SECONDS: Final = 60  # more than any of these small inputs takes, however busy the machine is
_LENGTH: Final = 8


def main(target: str, example: Path) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    module = importlib.import_module(f"support.fuzz.targets.{target}")
    module.run(example.read_bytes())  # loads what is loaded once
    _bound_memory(module.MEMORY)
    while length := sys.stdin.buffer.read(_LENGTH):
        content = sys.stdin.buffer.read(int.from_bytes(length))
        faulthandler.dump_traceback_later(_SECONDS, exit=True)
        verdict = _judge(module.run, content)
        faulthandler.cancel_dump_traceback_later()
        _answer(answers, verdict)


def _bound_memory(more: int) -> None:
    """All that it may ask for beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _judge(run: Run, content: bytes) -> Verdict:
    try:
        value = run(content)
    except (RunError, InvalidSpec) as error:
        said = sentences(error)
        try:
            for sentence in said:
                must_be_shown(sentence)
        except AssertionError:
            return Verdict(refused=said, broken=traceback.format_exc())
        return Verdict(refused=said)
    except BaseException:  # noqa: BLE001 - also what a library of another language throws
        return Verdict(broken=traceback.format_exc())
    return Verdict(value=f"value {value!r:.80}")


def _answer(answers: IO[bytes], verdict: Verdict) -> None:
    answers.write(verdict.model_dump_json().encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
