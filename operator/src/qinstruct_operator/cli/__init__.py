"""The command `qinstruct`: plan, render and run a training from one YAML file, watch it go.

`app` holds the commands, `document` reads the file, `plan_view` draws the plan. Local mode:
`local` walks prep and training in one folder, `child` runs one process, `view` draws its
events and `ending` the result. Against a cluster, whose texts `terminal` makes harmless:
`cluster` is the door, `nodes`, `status` and `logs` the commands, `runs` and `pods` what they
read, `nodes_view` and `status_view` what they draw. May import `api`, `core`, `cluster` and the
trainer's torch-free contract (`config`, `events`, `errors`); never torch, and nothing heavy
before a command needs it.
"""

import sys
from collections.abc import Sequence

_EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; a user's mistake is one sentence on stderr."""
    try:
        # Here, not at the top: Ctrl-C while modules load is then as clean as later.
        from qinstruct_operator.cli.app import app
        from qinstruct_operator.errors import InvalidSpec
        from qinstruct_trainer.contract.errors import EXIT_CONFIG, RunError

        try:
            app(args=None if argv is None else list(argv), prog_name="qinstruct")
        except InvalidSpec as error:
            for violation in error.violations:
                sys.stderr.write(f"qinstruct: {violation.sentence()}\n")
            return EXIT_CONFIG
        except RunError as error:
            sys.stderr.write(f"qinstruct: {error}\n")
            return error.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except SystemExit as end:  # how the command-line parser says that it is done
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0
