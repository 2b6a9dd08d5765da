from pathlib import Path

import pytest

from qinstruct_trainer.supervisor.oom_kills import has_grown, oom_kills

V2 = "low 0\nhigh 0\nmax 7\noom 2\noom_kill {}\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
CASES = {
    "version 2, in a container": ("0::/\n", "memory.events", V2),
    "version 2, on a machine": (
        "0::/user.slice/run.scope\n",
        "user.slice/run.scope/memory.events",
        V2,
    ),
    "version 2, in a container that sees the host's name of its group": (
        "0::/kubepods/pod1/c1\n",
        "memory.events",
        V2,
    ),
    "version 1, in a container": (
        "5:devices:/pod/1\n4:memory:/kubepods/pod/1\n0::/\n",
        "memory/memory.oom_control",
        V1,
    ),
    "version 1, on a machine": (
        "4:cpu,memory:/user/1\n1:name=systemd:/user/1\n",
        "memory/user/1/memory.oom_control",
        V1,
    ),
}


def write(root: Path, cgroup: str, file: str, content: str) -> None:
    proc = root / "proc" / "self" / "cgroup"
    proc.parent.mkdir(parents=True, exist_ok=True)
    proc.write_text(cgroup)
    path = root / "sys" / "fs" / "cgroup" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_count_of_the_own_group_is_read(case: tuple[str, str, str], tmp_path: Path) -> None:
    cgroup, file, content = case
    write(tmp_path, cgroup, file, content.format(3))
    assert oom_kills(tmp_path) == 3


UNKNOWN = {
    "no cgroups": None,
    "a kernel that does not count": ("0::/\n", "memory.events", "low 0\n"),
    "no number": ("0::/\n", "memory.events", "oom_kill many\n"),
    "no text": ("0::/\n", "memory.events", "oom_kill \u0663\n"),
    "not mounted": ("0::/\n", "elsewhere", "oom_kill 1\n"),
    "no control groups at all": ("nonsense\n", "memory.events", "oom_kill 1\n"),
}


@pytest.mark.parametrize("case", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_counted_is_not_known(
    case: tuple[str, str, str] | None, tmp_path: Path
) -> None:
    if case is not None:
        write(tmp_path, *case)
    assert oom_kills(tmp_path) is None


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [(0, 1, True), (3, 5, True), (1, 1, False), (None, 1, False), (1, None, False)],
)
def test_it_has_grown_only_where_both_are_known(
    before: int | None, now: int | None, grown: bool
) -> None:
    assert has_grown(before, now) == grown


def test_this_machine_is_read_without_an_error() -> None:
    count = oom_kills()
    assert count is None or count >= 0
