"""Turns pip's talk into a bar: reads it from standard input, counts what is collected against the lock's length.

    pip install ... 2>&1 | python script/pip_progress.py 40

On a terminal the bar moves in place; elsewhere one line is printed at the end. Errors pass through.
"""

from __future__ import annotations

import sys
import time

WIDTH = 32


def main() -> None:
    total = max(1, int(sys.argv[1]))
    collected, began_s, terminal = 0, time.monotonic(), sys.stderr.isatty()
    for line in sys.stdin:
        if line.startswith(("Collecting", "Processing ")):  # from a registry, or from a folder of wheels
            collected += 1
        elif line.startswith("ERROR"):
            print(("\r" if terminal else "") + line.rstrip(), file=sys.stderr)
        if terminal:
            installing = line.startswith("Installing collected")
            share = 1.0 if installing else min(collected / total, 1.0)
            word = "installing " if installing else "downloading"
            bar = "#" * round(share * WIDTH)
            spent = time.monotonic() - began_s
            print(f"\r  {word} [{bar:<{WIDTH}}] {collected}/{total}  {spent:3.0f} s", end="", file=sys.stderr)
    print(f"{chr(10) if terminal else '  '}{collected} packages in {time.monotonic() - began_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
