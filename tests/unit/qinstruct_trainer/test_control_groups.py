from pathlib import Path

import pytest

from qinstruct_trainer.control_groups import memory_left

GIB = 2**30
MEMINFO = "MemTotal:       64000000 kB\nMemAvailable:   {} kB\n"
V2 = {
    "memory.max": f"{8 * GIB}\n",
    "memory.current": f"{6 * GIB}\n",
    "memory.stat": f"anon {2 * GIB}\ninactive_file {2 * GIB}\nactive_file {GIB}\nshmem {GIB}\n",
}
V1 = {
    "memory.limit_in_bytes": f"{8 * GIB}\n",
    "memory.usage_in_bytes": f"{6 * GIB}\n",
    "memory.stat": f"inactive_file 1\nactive_file 2\ntotal_inactive_file {GIB}\n"
    f"total_active_file {GIB}\n",
}
CASES = {
    "version 2, in a container": ("0::/\n", "", V2, 5 * GIB),
    "version 2, on a machine": ("0::/user.slice/run.scope\n", "user.slice/run.scope", V2, 5 * GIB),
    "version 1, in a container": ("4:memory:/kubepods/pod/1\n0::/\n", "memory", V1, 4 * GIB),
    "version 1, on a machine": ("4:cpu,memory:/user/1\n", "memory/user/1", V1, 4 * GIB),
    "without counts of the cache": ("0::/\n", "", V2 | {"memory.stat": ""}, 2 * GIB),
    "without a limit": ("0::/\n", "", V2 | {"memory.max": "max\n"}, 20 * GIB),
    "without control groups": ("", "", {}, 20 * GIB),
    "above its limit": ("0::/\n", "", V2 | {"memory.current": f"{12 * GIB}"}, 0),
}


def write(root: Path, cgroup: str, folder: str, files: dict[str, str], available: int) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/meminfo").write_text(MEMINFO.format(available // 1024))
    group = root / "sys/fs/cgroup" / folder
    group.mkdir(parents=True)
    for name, content in files.items():
        (group / name).write_text(content)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_left_below_the_limit(
    case: tuple[str, str, dict[str, str], int], tmp_path: Path
) -> None:
    cgroup, folder, files, left = case
    write(tmp_path, cgroup, folder, files, 20 * GIB)
    assert memory_left(tmp_path) == left


UNLIMITED = {
    "0::/kubepods/pod1/c1\n": ("", "memory.max", "max\n", V2, 5 * GIB),
    "4:memory:/kubepods/pod1/c1\n": (
        "memory",
        "memory.limit_in_bytes",
        f"{2**63 - 4096}\n",
        V1,
        4 * GIB,
    ),
}


@pytest.mark.parametrize("limited", ["kubepods/pod1/c1", "kubepods/pod1", "kubepods", ""])
@pytest.mark.parametrize("cgroup", UNLIMITED, ids=["version 2", "version 1"])
def test_a_limit_of_any_group_above_holds_too(cgroup: str, limited: str, tmp_path: Path) -> None:
    """Also where /proc names the group from the host's top and the mount begins elsewhere."""
    mount, limit, unlimited, files, left = UNLIMITED[cgroup]
    write(tmp_path, cgroup, str(Path(mount, limited)), files, 20 * GIB)
    top = tmp_path / "sys/fs/cgroup" / mount
    for group in ("kubepods", "kubepods/pod1", "kubepods/pod1/c1"):
        if group != limited:
            (top / group).mkdir(exist_ok=True)
            for name, content in (files | {limit: unlimited}).items():
                (top / group / name).write_text(content)
    assert memory_left(tmp_path) == left


def test_the_tightest_of_several_limits_counts(tmp_path: Path) -> None:
    write(tmp_path, "0::/pod/c1\n", "pod/c1", V2, 20 * GIB)
    tight = V2 | {"memory.max": f"{7 * GIB}\n"}
    for name, content in tight.items():
        (tmp_path / "sys/fs/cgroup/pod" / name).write_text(content)
    assert memory_left(tmp_path) == 4 * GIB


def test_the_machine_may_have_less_than_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "0::/\n", "", V2, GIB)
    assert memory_left(tmp_path) == GIB


def test_where_nothing_says_it_there_is_none(tmp_path: Path) -> None:
    assert memory_left(tmp_path) == 0


def test_this_machine_has_some() -> None:
    assert memory_left() > 0
