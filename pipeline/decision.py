"""What the face side says to the payment: guidance while it looks, one decision with its reasons at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Hint(StrEnum):
    """What the payer should do; the screen has a sentence for each."""

    NO_FACE = "no_face"
    COME_CLOSER = "come_closer"
    MOVE_BACK = "move_back"
    CENTRE = "centre"
    LOOK_AT_CAMERA = "look_at_camera"
    HOLD_STILL = "hold_still"
    ONE_PERSON = "one_person"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    UNCOVER_FACE = "uncover_face"
    OPEN_EYES = "open_eyes"
    SMILE = "smile"


class Reason(StrEnum):
    """Why it was decided. The session itself never says TIMEOUT: time limits are its caller's."""

    MATCHED = "matched"
    STRANGER = "stranger"
    AMBIGUOUS = "ambiguous"  # the runner-up is another person and too close
    SPOOF = "spoof"
    LOW_QUALITY = "low_quality"
    TIMEOUT = "timeout"
    GALLERY_EMPTY = "gallery_empty"


class Act(StrEnum):
    """What a payer is asked to do, to be told from a picture. Left and right are the payer's own."""

    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    BLINK = "blink"


RelativeBox = tuple[float, float, float, float]  # x0, y0, x1, y1, each 0..1 of the frame


@dataclass(frozen=True, slots=True)
class Guidance:
    """Not decided yet. `face_box` is the subject, for the preview, None where there is no face.

    `done` of `steps` acts of a challenge have been seen so far, all of them once it has passed; 0 of 0: there is none.
    """

    hint: Hint
    face_box: RelativeBox | None = None
    done: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Challenge:
    """Not decided yet: the payer must do this by `until_s` (monotonic), or the answer is SPOOF.

    `done` of `steps` acts have been seen so far.
    """

    act: Act
    until_s: float
    done: int
    steps: int
    face_box: RelativeBox | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`handle` is set for MATCHED, and for AMBIGUOUS as the better of two, with `rival` the other: something else than
    the face must single one out. Scores are of the fused frames: cosine -1..1, liveness 0..1.

    `score` is the mean of the frames' cosines, so a threshold read on single frames holds for it; the runner-up is
    fused in the same way. `because` names the cues that spoke against a live person (`liveness.Cue`), for SPOOF.

    `challenged`: the very face that is decided on has answered a challenge, in one unbroken track; for SPOOF, that one
    was begun. `relief`: a camera with depth saw it stand out in each frame.

    `timings_ms` sums each stage over all frames of the session ("total" is their sum); `frames` are those that agreed.
    """

    reason: Reason
    handle: str | None
    score: float
    runner_up: float
    margin: float
    liveness: float
    frames: int
    timings_ms: Mapping[str, float]
    model_hash: str
    thresholds_id: str
    rival: str | None = None
    because: tuple[str, ...] = ()
    challenged: bool = False
    relief: bool = False


Observation = Guidance | Challenge | Decision
