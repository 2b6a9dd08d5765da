"""The command `qinstruct`: plan, render and run a training from one YAML file, and follow it.

`app` declares the commands. `local` has `run`, `plan` has `plan`, `cluster` has `status` and
`logs`, `cache`, `data` and `convert` have those; in each, a `<name>_command` module is the command,
`show_*` modules draw, and the others read or act. They share `document` (reads the file), `trainer`
(asks it something), `show_events` (draws the trainer's events), `tables`, `humanize` (numbers as
text) and
`terminal` (sanitizes text of others). May import `core`,
`cluster`, the rooms below them in the operator's layers (pyproject.toml) and the trainer's
contract; never torch, and nothing heavy before a command needs it.
"""

import sys
from collections.abc import Sequence

_EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors of the user are sentences on stderr."""
    try:
        # Not at the top: Ctrl-C while they load must end as cleanly as later.
        from qinstruct_operator.cli.app import app
        from qinstruct_operator.cli.trainer import TrainerFailed
        from qinstruct_operator.errors import InvalidSpec
        from qinstruct_trainer.contract.errors import EXIT_CONFIG, RunError

        try:
            app(args=None if argv is None else list(argv), prog_name="qinstruct")
        except InvalidSpec as error:
            for violation in error.violations:
                sys.stderr.write(f"qinstruct: {violation.sentence()}\n")
            return EXIT_CONFIG
        except TrainerFailed as error:
            sys.stderr.write(f"qinstruct: {error}\n")
            return error.exit_code
        except RunError as error:
            sys.stderr.write(f"qinstruct: {error}\n")
            return error.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except SystemExit as end:  # how the command-line parser says that it is done
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0
