"""Draws the states of an attempt for the docs, from the table the code goes by.

python -m daemon.payment.diagram            prints it
python -m daemon.payment.diagram FILE       puts it between the two marks in FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from daemon.payment.status import RELEASES_GOODS, TRANSITIONS, UNSETTLED, Status

BEGIN, END = "<!-- states: begin -->", "<!-- states: end -->"


def mermaid() -> str:
    """A state diagram: what money may still be on its way in, what goods leave on, and the ends."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.OPEN.name}"]
    for old, after in TRANSITIONS.items():
        lines += [f"    {old.name} --> {new.name}" for new in Status if new in after]
    lines += [f"    {status.name} --> [*]" for status, after in TRANSITIONS.items() if not after]
    lines += [
        "    classDef moving fill:#fdf1d6,stroke:#c58a00",
        "    classDef goods fill:#d9f2e3,stroke:#0f8a5f",
        f"    class {','.join(s.name for s in Status if s in UNSETTLED - RELEASES_GOODS)} moving",
        f"    class {','.join(s.name for s in Status if s in RELEASES_GOODS)} goods",
    ]
    return "\n".join(lines)


def placed(page: str) -> str:
    """The page with today's diagram between the marks. Raises ValueError where they are missing."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page needs {BEGIN} and {END}")
    return f"{before}{BEGIN}\n```mermaid\n{mermaid()}\n```\n{END}{after}"


def main() -> None:
    if len(sys.argv) < 2:
        print(mermaid())
        return
    path = Path(sys.argv[1])
    path.write_text(placed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
