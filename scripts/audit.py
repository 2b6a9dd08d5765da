"""Known vulnerabilities of the locked versions, as PyPI's vulnerability service knows them.

    python scripts/audit.py [FILE...]    # default: all of requirements/

Ends with 0 where there is none, 1 where there are some, and 2 where the service does not answer
for each package: pip-audit alone takes what it was not told for harmless.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = ("dev.txt", "uv.txt")  # dev.txt has all of operator.txt and trainer.txt
NONE, SOME, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Audit:
    """What is known: a line for each vulnerability, and the packages that nothing is known of."""

    found: tuple[str, ...]
    unknown: tuple[str, ...]
    num_packages: int

    @classmethod
    def of(cls, report: dict[str, Any]) -> "Audit":
        """Of pip-audit's JSON."""
        packages = report["dependencies"]
        return cls(
            found=tuple(
                f"{each['name']} {each['version']}: {one['id']} "
                f"(mended in {', '.join(one['fix_versions']) or 'no version yet'})"
                for each in packages
                for one in each.get("vulns", ())
            ),
            unknown=tuple(each["name"] for each in packages if "skip_reason" in each),
            num_packages=len(packages),
        )

    def lines(self) -> tuple[str, ...]:
        """What a person reads."""
        lines = self.found
        if self.unknown:
            lines += (
                f"PyPI's vulnerability service knows nothing of {len(self.unknown)} of "
                f"{self.num_packages} packages, {self.unknown[0]} for one, as a mirror of PyPI "
                "does not; audit them where pypi.org itself can be reached",
            )
        return lines or (f"no known vulnerability in {self.num_packages} packages",)

    def exit_code(self) -> int:
        """As the module says."""
        return SOME if self.found else UNKNOWN if self.unknown else NONE


def main(files: Sequence[Path]) -> int:
    """Audit the locks; the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip"]
    command += ["--format=json", "--progress-spinner=off"]
    command += [f"--requirement={file}" for file in files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        audit = Audit.of(json.loads(done.stdout))
    except ValueError:
        last_line = done.stderr.strip().rpartition("\n")[2]
        sys.stderr.write(
            f"PyPI's vulnerability service cannot be reached ({last_line:.200}); audit where "
            "pypi.org can\n"
        )
        return UNKNOWN
    sys.stdout.writelines(f"{line}\n" for line in audit.lines())
    return audit.exit_code()


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    sys.exit(main(given or [ROOT / "requirements" / name for name in LOCKS]))
