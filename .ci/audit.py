"""Known advisories for what is installed, by pip-audit; never a reason for CI to fail.

    python .ci/audit.py SITE-PACKAGES

Advisories appear without a change of the code, and a network may be away: what is found is printed,
and what cannot be asked is one line.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS = 60
"""In all: installing pip-audit, and asking."""


def main(site_packages: str) -> None:
    """Print what is known, or why nothing is."""
    with tempfile.TemporaryDirectory() as home:
        python, report = Path(home, "venv/bin/python"), Path(home, "report.json")
        audit = [str(python), "-m", "pip_audit", "--path", site_packages, "--format", "json",
                 "--output", str(report), "--progress-spinner", "off",
                 "--timeout", "10"]  # fmt: skip
        steps = [
            [sys.executable, "-m", "venv", str(python.parents[1])],
            [str(python), "-m", "pip", "install", "--quiet", "pip-audit>=2.9,<3"],
            audit,
        ]
        left = ""
        script = " && ".join('"' + '" "'.join(step) + '"' for step in steps)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(["bash", "-c", script], start_new_session=True, **quiet) as child:
            try:
                child.wait(SECONDS)
            except subprocess.TimeoutExpired:
                left = f"; {SECONDS} s were not enough"
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
        try:
            found = json.loads(report.read_text())
        except (OSError, ValueError):
            print(f"+ advisories: not checked, pip-audit or its service cannot be reached{left}")
            return
        for line in describe(found):
            print(f"+ advisories: {line}")


def describe(report: dict[str, Any]) -> list[str]:
    """Lines about a report of pip-audit."""
    packages = report.get("dependencies", [])
    asked = [each for each in packages if "skip_reason" not in each]
    if not asked:
        return ["not checked, the service knows none of the packages (is it a mirror?)"]
    lines = [
        f"{each['name']} {each['version']}: {known['id']}, fixed in "
        f"{', '.join(known.get('fix_versions', [])) or 'no version'}"
        for each in asked
        for known in each.get("vulns", [])
    ]
    return [f"{len(asked)} of {len(packages)} packages checked, {len(lines)} known", *lines]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it began ends with it
    main(sys.argv[1])
