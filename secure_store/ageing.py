"""How a person's templates follow the face over the years without ever leaving it. Pure.

The templates of the enrolment stay for good: they are those of the first date. A newer one has to match them itself, so
that a chain of small steps leads nowhere; of the newer ones only so many are kept, and the oldest gives way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from secure_store.errors import PersonRefused
from secure_store.layout import TemplateSet


@dataclass(frozen=True)
class Ageing:
    """`kept` newer templates at most, one every `every_s` seconds, each with a cosine of `same_as_enrolled` to at least
    one of the enrolment.
    """

    kept: int = 2
    every_s: int = 30 * 24 * 3600
    same_as_enrolled: float = 0.7


class Aged(StrEnum):
    ADDED = "added"
    REPLACED = "replaced"  # the oldest newer one gave way
    TOO_SOON = "too_soon"
    TOO_FAR = "too_far"  # it does not match the enrolment itself
    KEPT_NONE = "kept_none"  # the rule keeps none
    NOT_ENROLLED = "not_enrolled"  # nothing of this model to hold it against


def aged(set_: TemplateSet | None, fresh: TemplateSet, rule: Ageing) -> tuple[TemplateSet | None, Aged]:
    """The set with the one template of `fresh` in it, or None where the rule refuses. Both are of one transform.

    Raises PersonRefused when they are not of one dimension.
    """
    if rule.kept <= 0:
        return None, Aged.KEPT_NONE
    if set_ is None:
        return None, Aged.NOT_ENROLLED
    if set_.vectors.shape[1] != fresh.vectors.shape[1]:
        why = f"it has {fresh.vectors.shape[1]} numbers, the others {set_.vectors.shape[1]}"
        raise PersonRefused("template", why)
    enrolled_at = min(set_.added_at)
    enrolled = [i for i, at in enumerate(set_.added_at) if at == enrolled_at]
    newer = [i for i, at in enumerate(set_.added_at) if at != enrolled_at]
    if fresh.added_at[0] - max(set_.added_at) < max(1, rule.every_s):
        return None, Aged.TOO_SOON
    if float(np.max(set_.vectors[enrolled] @ fresh.vectors[0])) < rule.same_as_enrolled:
        return None, Aged.TOO_FAR
    staying = sorted(newer, key=lambda i: set_.added_at[i])[max(0, len(newer) - rule.kept + 1) :]
    chosen = sorted([*enrolled, *staying])
    joined = replace(
        set_,
        vectors=np.concatenate([set_.vectors[chosen], fresh.vectors]),
        qualities=(*(set_.qualities[i] for i in chosen), *fresh.qualities),
        added_at=(*(set_.added_at[i] for i in chosen), *fresh.added_at),
    )
    return joined, Aged.ADDED if len(staying) == len(newer) else Aged.REPLACED
