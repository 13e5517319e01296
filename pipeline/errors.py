"""What can go wrong here, each named after what happened and carrying the facts instead of a sentence."""

from __future__ import annotations


class PipelineError(Exception):
    """Base of this package: what it is about, why it was refused, what to do."""

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        super().__init__(f"{what}: {why}" + (f" ({hint})" if hint else ""))
        self.what = what
        self.why = why
        self.hint = hint


class FrameRefused(PipelineError):
    """A frame that is no (H, W, 3) uint8 picture of a usable size."""


class ManifestRefused(PipelineError):
    """A model manifest that does not say what it must."""


class ModelRefused(PipelineError):
    """One or more model files that are missing, cut off or not the ones the manifest declares.

    `files` holds one (file, expected SHA-256, what was found) for each; good files are not listed and are kept.
    """

    def __init__(self, files: tuple[tuple[str, str, str], ...], hint: str) -> None:
        what = ", ".join(name for name, _, _ in files)
        why = "; ".join(f"{name}: expected SHA-256 {expected}, got {got}" for name, expected, got in files)
        super().__init__(what, why, hint)
        self.files = files


class PullFailed(PipelineError):
    """The models could not be fetched; whatever was good before is still there."""


class ThresholdsRefused(PipelineError):
    """A thresholds file that is malformed, or was made for other models or a smaller gallery."""


class GalleryRefused(PipelineError):
    """Templates that can't be compared: wrong shape, not numbers, not normalised, or made by another model."""


class EvaluationRefused(PipelineError):
    """Pictures, lists or options that no honest figure can be made from."""


class ReportUnavailable(PipelineError):
    """A report was asked for where the plotting library is not installed."""


class SessionFinished(PipelineError):
    """`observe` was called after the session gave its decision."""

    def __init__(self) -> None:
        super().__init__("session", "it has given its decision", "start a new one for the next payment")
