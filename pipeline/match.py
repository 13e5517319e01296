"""1:N search: who of the gallery is nearest to a probe, and how near is the next person.

`BruteForceMatcher` looks at every float. `ExactMatcher` finds the same from int8 codes and looks at few floats.
`CompactMatcher` keeps the codes alone. All three are immutable: what is added or removed makes another one, and a
search that has begun goes on with what it began with.
"""

from __future__ import annotations

from pipeline.matching.brute_force import BruteForceMatcher
from pipeline.matching.coded import CodedMatcher, CompactMatcher, ExactMatcher
from pipeline.matching.contract import (
    NOTHING,
    Allocate,
    Embedding,
    Matcher,
    MatchResult,
    Memory,
    PlainMemory,
    is_unit,
)

__all__ = [
    "NOTHING",
    "Allocate",
    "BruteForceMatcher",
    "CodedMatcher",
    "CompactMatcher",
    "Embedding",
    "ExactMatcher",
    "MatchResult",
    "Matcher",
    "Memory",
    "PlainMemory",
    "is_unit",
]
