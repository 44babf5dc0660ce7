"""`python -m log_alerts`: writes the rules of elastalert2, or checks that they are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from log_alerts.patterns import PatternError, load
from log_alerts.rules import outdated, write

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0, or 1 for faulty patterns and, with --check, for outdated rules."""
    parser = argparse.ArgumentParser(
        prog="python -m log_alerts", description="Writes elastalert2's rules from patterns."
    )
    parser.add_argument("--patterns", type=Path, default=HERE / "patterns.toml", help="the file of patterns")
    parser.add_argument("--rules", type=Path, default=HERE / "rules", help="the folder of rules")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would be written")
    options = parser.parse_args(arguments)
    try:
        patterns = load(options.patterns)
        if options.check:
            stale = outdated(patterns, options.rules)
            for name in stale:
                print(f"{options.rules / name}: does not fit the patterns; run `python -m log_alerts`", file=sys.stderr)
            return int(bool(stale))
        for name in write(patterns, options.rules):
            print(options.rules / name)
    except (PatternError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
