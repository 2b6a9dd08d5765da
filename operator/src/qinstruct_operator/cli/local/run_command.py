"""`qinstruct run`: carry out a run on this machine, or show the result of a complete one."""

import shlex
from pathlib import Path

from rich.console import Console

from qinstruct_operator.api.parse import parse
from qinstruct_operator.cli.document import load_document
from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.local.machine import check_machine
from qinstruct_operator.cli.local.process import StopRequests
from qinstruct_operator.cli.local.run import LocalRun
from qinstruct_operator.cli.local.show_result import show_result
from qinstruct_operator.cli.show_events import open_view
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import EXIT_OK


def run_locally(console: Console, file: str, workdir: Path, cache: Path | None) -> int:
    """Carry out the run that a file describes; returns the exit code.

    Args:
        console: Where to draw.
        file: A QInstructTraining; `-` is standard input.
        workdir: Holds one folder per run.
        cache: Prepared data, shared by runs; None: in the workdir.

    Raises:
        InvalidSpec: the file describes no run.
        RunError: the run cannot begin here.
    """
    requests = StopRequests()
    with requests.listening():
        training = parse(load_document(file))
        root = workdir.absolute()
        folder = RunFolder(root / training.metadata.name)
        cache_path = (cache or root / "cache").absolute()
        settings = Settings(cache_path=cache_path, output_path=folder.root, private_networks=None)
        plan = make_plan(training, settings)
        folder.check_same_run(plan.prep_config, plan.run_config)
        if folder.is_complete():
            show_result(console, folder, already=True)
            return EXIT_OK
        check_machine(plan)
        folder.write_configs(plan.prep_config, plan.run_config)
        view = open_view(console)
        try:
            resume = _resume_command(file, workdir, cache)
            code = LocalRun(plan, folder, view, resume, requests).run()
        finally:
            view.close()
        if code == EXIT_OK:
            show_result(console, folder, already=False)
        return code


def _resume_command(file: str, workdir: Path, cache: Path | None) -> str:
    options = ["--workdir", str(workdir)] + (["--cache", str(cache)] if cache else [])
    return shlex.join(["qinstruct", "run", file, *options])
