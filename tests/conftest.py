"""Shared by all tests: the state folder, the models, the portraits and the evaluation pictures, each got once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that does other work meanwhile fails no test: what is slow once is no fault.
settings.register_profile("kingfisher", deadline=None)
settings.load_profile("kingfisher")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def kingfisher_state() -> Path:
    """Where downloads are kept between runs."""
    return Path(os.environ.get("KINGFISHER_STATE") or REPOSITORY / ".kingfisher").resolve()


@pytest.fixture(scope="session")
def models_folder(kingfisher_state: Path) -> Path:
    """The default models, pulled once; without a network they must be there already."""
    from pipeline.models.pull import pull

    folder = kingfisher_state / "models"
    pull(folder, npm_lock=REPOSITORY / "script" / "locks" / "npm.txt")
    return folder


@pytest.fixture(scope="session")
def portraits_folder(kingfisher_state: Path) -> Path:
    """The two public-domain portraits, pulled once."""
    from hal.virtual.samples import pull_samples

    folder = kingfisher_state / "pictures"
    pull_samples(folder, REPOSITORY / "script" / "locks" / "samples.txt")
    return folder
