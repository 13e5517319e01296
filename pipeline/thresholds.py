"""The numbers a decision hangs on: from a file that names their source, bound to the models they hold for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ThresholdsRefused
from pipeline.models.manifest import Manifest, Role, Sha256, faults

PROVISIONAL = Path(__file__).parent / "data" / "provisional.toml"
# By set of models. The first: what a box uses that is told of no other; the second: what calibration starts from.
CALIBRATED = {
    "default": Path(__file__).parent / "data" / "lfw-2026-11.toml",
    "better": Path(__file__).parent / "data" / "lfw-better-2026-11.toml",
}
STARTING = {"default": PROVISIONAL, "better": Path(__file__).parent / "data" / "provisional-better.toml"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class OperatingPoint(_Part):
    """Up to this many templates, a cosine of at least `threshold`; `fmr` is the false match rate it was read at.

    A calibrated point says more: `fpir` is N x FMR of the worst group at the upper end of its interval, `fnmr` what it
    costs, and `measured` is False where the impostor pairs were too few and the tail was extended.
    """

    gallery_up_to: int = Field(gt=0)
    threshold: float = Field(gt=0, lt=1)
    fmr: float = Field(gt=0, lt=1)
    fpir: float | None = Field(default=None, gt=0, le=1)
    fnmr: float | None = Field(default=None, ge=0, le=1)
    measured: bool = True
    source: str


class FalseMatches(_Part):
    """At this threshold: the overall FMR with its 95 % interval, and the upper end of the worst group's."""

    threshold: float = Field(gt=-1, lt=1)
    fmr: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    worst_group_high: float = Field(ge=0, le=1)


class MatchThresholds(_Part):
    points: tuple[OperatingPoint, ...] = Field(min_length=1)
    margin: float = Field(ge=0, lt=1, description="by how much the runner-up, another person, must be worse")
    same_person: float = Field(gt=0, lt=1, description="two frames of one track below this are two people")
    source: str
    curve: tuple[FalseMatches, ...] = Field(default=(), description="score to FMR, with its bounds; for reading")

    @model_validator(mode="after")
    def _rising(self) -> MatchThresholds:
        sizes = [point.gallery_up_to for point in self.points]
        values = [point.threshold for point in self.points]
        if sizes != sorted(set(sizes)) or values != sorted(values):
            raise ValueError("points must rise in gallery size, and never fall in threshold")
        return self


class LivenessThresholds(_Part):
    live: float = Field(
        gt=0, lt=1, description="the models' probability, mean of a track, from which on it may be live"
    )
    attack: float = Field(gt=0, lt=1, description="below this a frame is an attack, whatever the others say")
    screen_edge: float = Field(gt=0, le=1, description="from here on the face lies inside a held-up picture")
    moire: float = Field(default=0.5, gt=0, le=1, description="from here on the face is a print or a screen")
    relief_mm: float = Field(default=1.5, gt=0, description="a face that stands out less is flat; for depth cameras")
    frames: int = Field(default=2, ge=1, le=30, description="of one track, before any is taken for live")
    frames_most: int = Field(default=5, ge=1, le=30, description="looked back at; unsure after so many: a challenge")
    challenge: Literal["doubt", "always"] = Field(default="doubt", description="who has to turn and blink")
    challenge_s: float = Field(default=10.0, gt=0, description="for all of a challenge; after that it has failed")
    turn_deg: float = Field(default=18.0, gt=0, lt=60, description="a head turned so far has answered")
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> LivenessThresholds:
        if self.attack > self.live:
            raise ValueError("attack must not be above live")
        if self.frames > self.frames_most:
            raise ValueError("frames must not be above frames_most")
        return self


class TrackThresholds(_Part):
    frames_to_match: int = Field(ge=1, le=30)
    frames_to_refuse: int = Field(ge=1, le=30)
    overlap: float = Field(gt=0, lt=1, description="IoU of the face between two frames")
    max_gap_s: float = Field(gt=0)
    detect_every: int = Field(default=3, ge=1, le=30, description="frames; between them the face is followed")
    same_look: float = Field(default=0.85, gt=0, lt=1, description="correlation with the last frame; below: detect")
    same_shape: float = Field(default=0.05, gt=0, lt=1, description="landmarks may move so far, in face heights")
    comparable_face: float = Field(
        gt=0, le=1, description="a second face with at least this share of the subject's area"
    )
    source: str


class QualityThresholds(_Part):
    detector_score: float = Field(gt=0, lt=1)
    face_height_min: float = Field(gt=0, lt=1, description="of the frame's height")
    face_height_max: float = Field(gt=0, le=1.5)
    face_pixels_min: int = Field(gt=0)
    margin: float = Field(ge=-0.5, lt=0.5, description="between face and frame edge, of the frame's side")
    dark: float = Field(ge=0, lt=255, description="mean luma of the aligned face")
    bright: float = Field(gt=0, le=255)
    sharpness: float = Field(ge=0, description="relative Laplacian energy of the aligned face")
    yaw_deg: float = Field(gt=0, lt=90)
    pitch_deg: float = Field(gt=0, lt=90)
    roll_deg: float = Field(gt=0, lt=90)
    features: float = Field(default=0.65, ge=0, description="structure at eyes and mouth, 1 is the face's mean")
    eyes: float = Field(default=0.7, ge=0, lt=1, description="of this payer's own open eyes; below, they are closed")
    source: str


class CaptureThresholds(_Part):
    frames: int = Field(ge=1, le=50)
    templates: int = Field(ge=1, le=10)
    same_template: float = Field(gt=0, le=1, description="a template closer than this to a kept one adds nothing")
    source: str


class Thresholds(_Part):
    id: str = Field(min_length=1, max_length=64)
    provisional: bool
    models: Mapping[Role, Sha256]
    match: MatchThresholds
    liveness: LivenessThresholds
    track: TrackThresholds
    quality: QualityThresholds
    capture: CaptureThresholds

    def bound_to(self, manifest: Manifest) -> Thresholds:
        """Itself, when every model it was made with is the manifest's. Raises ThresholdsRefused naming the others."""
        made_with, has = dict(self.models), manifest.hashes
        other = [role for role in has if made_with.get(role) != has[role]]
        if other:
            raise ThresholdsRefused(
                self.id, f"made for other models: {', '.join(other)}", "calibrate again with the models of this box"
            )
        return self

    def point(self, templates: int) -> OperatingPoint:
        """The operating point for a gallery of so many templates. Raises ThresholdsRefused above the largest one."""
        for point in self.match.points:
            if templates <= point.gallery_up_to:
                return point
        largest = self.match.points[-1].gallery_up_to
        raise ThresholdsRefused(
            self.id,
            f"calibrated for up to {largest} templates, the gallery has {templates}",
            "calibrate for a larger gallery",
        )


def load_thresholds(path: Path, manifest: Manifest) -> Thresholds:
    """Read a thresholds file for these models. Raises ThresholdsRefused naming the file and every fault."""
    try:
        thresholds = Thresholds.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ThresholdsRefused(str(path), error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ThresholdsRefused(str(path), f"no TOML: {error}") from error
    except ValidationError as error:
        raise ThresholdsRefused(str(path), faults(error)) from error
    return thresholds.bound_to(manifest)
