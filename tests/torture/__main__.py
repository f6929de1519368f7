"""``python -m tests.torture``: the long form of the torture, on servers of its own."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.torture.run import torture, world


def main() -> int:
    """Torture a new instance; return 1 if anything was found, and leave its folder to look at."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to harm (5)")
    parser.add_argument("--seed", type=int, default=None, help="what is drawn from (a new one)")
    parser.add_argument("--people", type=int, default=6, help="how many live at once (6)")
    given = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    print(f"seed {seed}; again: make torture ARGS='--minutes {given.minutes:g} --seed {seed}'")
    folder = Path(tempfile.mkdtemp(prefix=f"tierce-torture-{os.getuid()}-"))
    folder.chmod(0o755)  # as root, the servers run as another account and pass through
    with world(folder, seed) as instance:
        report = torture(instance, seed, 60 * given.minutes, people=given.people)
        words = instance.last_words() if report.findings else ""
    print(report)
    if report.findings:
        print(f"{words}\nThe data and logs of the run are in {folder}.", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
