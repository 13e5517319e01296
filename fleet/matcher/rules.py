"""How sure is sure enough: the calibration that the boxes decide by, read for the gateway's matcher.

A threshold belongs to a gallery's size (templates that are searched), so that the chance that a stranger is taken for
anybody stays what it was measured to be. The runner-up, another person, has to be worse by the margin.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fleet.errors import RequestRefused
from mqtt.schemas import Sha256
from mqtt.schemas.faces import FaceAnswerBody
from pipeline.match import MatchResult

CALIBRATED = ("pipeline", "data/lfw-2026-11.toml")  # of the default set of models
Cosine = Annotated[float, Field(gt=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # of a calibration the matcher needs this much


class OperatingPoint(_Part):
    """Up to this many templates, a cosine of at least `threshold`."""

    gallery_up_to: Annotated[int, Field(gt=0)]
    threshold: Cosine


class _Match(_Part):
    points: Annotated[Sequence[OperatingPoint], Field(min_length=1)]
    margin: Annotated[float, Field(ge=0, lt=1)]


class _Liveness(_Part):
    live: Cosine


class _Models(_Part):
    embedding: Sha256


class Rules(_Part):
    """`models.embedding` is the model whose templates these thresholds hold for."""

    id: str
    models: _Models
    match: _Match
    liveness: _Liveness

    @model_validator(mode="after")
    def _rising(self) -> Rules:
        sizes = [point.gallery_up_to for point in self.match.points]
        if sizes != sorted(set(sizes)):
            raise ValueError("match.points must rise in gallery size")
        return self

    @property
    def model_hash(self) -> str:
        return self.models.embedding

    def threshold(self, templates: int) -> float | None:
        """None: nothing was measured for a gallery of so many."""
        return next((p.threshold for p in self.match.points if templates <= p.gallery_up_to), None)

    def alive(self, liveness: float, challenged: bool) -> bool:
        return challenged or liveness >= self.liveness.live

    def outcome(self, found: MatchResult, agreement: float, threshold: float) -> str:
        """`matched`, `ambiguous` or `stranger`, as a box would decide on the frames' mean."""
        score, margin = scores(found, agreement)
        if found.handle is None or not score >= threshold:
            return "stranger"
        return "matched" if margin >= self.match.margin else "ambiguous"


def scores(found: MatchResult, agreement: float) -> tuple[float, float]:
    """Score and margin of the frames: the mean's cosine times its own length; nobody else is as far as can be."""
    score = found.score * agreement
    runner_up = found.runner_up * agreement if found.runner_up > -1.0 else -1.0
    return score, score - runner_up


def refused(nonce: str, reason: str) -> FaceAnswerBody:
    return FaceAnswerBody(nonce=nonce, outcome="refused", reason=reason)


def load(path: Path | None = None) -> Rules:
    """From a calibration file; none: what the default models were measured at. Raises RequestRefused."""
    source: Path | Traversable = path or files(CALIBRATED[0]).joinpath(CALIBRATED[1])
    try:
        return Rules.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestRefused(f"thresholds {source}", f"can't be read ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestRefused(f"thresholds {source}", f"{where}: {first['msg']}") from None
