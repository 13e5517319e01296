"""Pictures of the evaluation for the docs: both sets and the baseline in one plot, and the errors within the group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.eval.features import Faces
from pipeline.eval.metrics import PairScores, all_pairs
from pipeline.eval.verify import people_of

KEEP = 0.3  # share of the impostor scores held: the curve begins there


def write(folder: Path, faces: dict[str, Faces], watched: str, groups: dict[str, str]) -> None:
    """biometrics-sets.svg: the trade-off of each set; FMR within the watched group over FMR overall."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kingfisher"
    from matplotlib import pyplot as plt

    figure, (trade, ratio) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, seen in faces.items():
        people, person = people_of(seen.images)
        members = np.array([groups.get(p) == watched for p in people])
        scores = all_pairs(seen.vectors, person, KEEP)
        fmr, fnmr, within = _curves(scores, members)
        trade.plot(fmr, fnmr, label=name)
        ratio.plot(fmr[within > 0], within[within > 0] / fmr[within > 0], label=name)
    trade.set(xscale="log", yscale="log", xlabel="FMR, all pairs", ylabel="FNMR", xlim=(1e-6, 1e-1), ylim=(2e-3, 0.5))
    ratio.set(xscale="log", yscale="log", xlabel="FMR, all pairs", ylabel=f"FMR within {watched}, times that")
    ratio.axhline(1, color="0.7", lw=0.8)
    for plot in (trade, ratio):
        plot.grid(alpha=0.3)
        plot.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "biometrics-sets.svg", format="svg", metadata={"Date": None})


def _curves(scores: PairScores, members: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """At some hundred thresholds: FMR overall, FNMR, FMR among the members alone."""
    ranks = np.unique(np.geomspace(1, len(scores.impostor), 300).astype(int)) - 1
    thresholds = scores.impostor[ranks]
    genuine = np.sort(scores.genuine)
    inside = members[scores.impostor_of].all(axis=1)
    pairs = scores.impostor_weight(np.ones(scores.people), members)
    return (
        (ranks + 1) / scores.impostors,
        np.searchsorted(genuine, thresholds) / len(genuine),
        np.cumsum(inside)[ranks] / max(1.0, pairs),
    )
