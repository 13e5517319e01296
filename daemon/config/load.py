"""Reads `box.toml`: bytes in, a `Config` out, or one error that lists everything wrong with it.

On a box whose root is read-only, what provisioning decides can't be written into `box.toml`. It stands in
`<state>/provisioned.toml` and goes over `box.toml`, setting by setting; nothing else may be set there (`PROVISIONED`).
Relative paths in it are taken from the state folder.

Over both goes the document that the fleet sent (`daemon.config.generations`), as far as the fleet may set things.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from daemon.config import allowed, generations
from daemon.config.model import Config
from daemon.errors import DaemonError
from mqtt.presence import is_absent

MAX_BYTES = 256 * 1024
PROVISIONED_FILE = "provisioned.toml"
PROVISIONED = {"box": ("tenant",), "fleet": ("key",), "broker": ("host", "port", "tls"), "console": ("pin",)}


class ConfigRefused(DaemonError):
    """`errors` holds one line for each thing that is wrong, each with its path."""

    def __init__(self, origin: str, errors: list[str]) -> None:
        self.origin, self.errors = origin, errors
        self.hint = "Nothing was changed. Mend the lines named above and run `kingfisher config check`."
        lines = "\n".join(f"  {line}" for line in errors)
        super().__init__(f"{origin} has {len(errors)} error{'s' if len(errors) > 1 else ''}:\n{lines}\n{self.hint}")


@dataclass(frozen=True)
class Loaded:
    """`version` is that of the fleet's document in force, 0 for none. `left_out`: why one that is on disk is not."""

    config: Config
    version: int = 0
    left_out: tuple[str, ...] = ()


def load(path: Path) -> Config:
    """The config at `path`, with what provisioning and the fleet added.

    Raises:
        ConfigRefused: with every error, each with its path in the file.
    """
    return load_all(path).config


def load_all(path: Path) -> Loaded:
    """The same, saying what of it is the fleet's. A document that does not go with `box.toml` (any more) is left out:
    the box's own settings are what can always be gone back to. Raises ConfigRefused."""
    values = read_values(path)
    found = generations.read(_state_of(values, path))
    document = found.generations.running
    alone = parse(values, str(path), path.resolve().parent)
    if document is None:
        return Loaded(alone, 0, (found.damaged,) if found.damaged else ())
    try:
        config = with_document(path, document.settings)
    except ConfigRefused as refused:
        return Loaded(alone, 0, tuple(refused.errors))
    return Loaded(config, document.version, (found.damaged,) if found.damaged else ())


def with_document(path: Path, settings: Mapping[str, Mapping[str, Any]]) -> Config:
    """The config at `path` with these settings of the fleet over it. Raises ConfigRefused, with every error."""
    origin = "the fleet's config"
    values = read_values(path)
    errors = allowed.refusals(settings)
    permitted = {name: given for name, given in settings.items() if name in allowed.ALLOWED}
    try:
        config = parse(allowed.overlaid(values, permitted), origin, path.resolve().parent)
    except ConfigRefused as refused:
        errors += refused.errors
    if errors:
        raise ConfigRefused(origin, list(dict.fromkeys(errors)))
    return config


def read_values(path: Path) -> dict[str, Any]:
    """What `load` checks: the values of `path`, those of `provisioned.toml` over them. Raises ConfigRefused."""
    values = read_toml(path)
    overlay = _state_of(values, path) / PROVISIONED_FILE
    try:
        never_provisioned = is_absent(overlay)
    except OSError as error:
        raise ConfigRefused(str(overlay), [f"can't be read: {error.strerror or error}"]) from error
    return values if never_provisioned else merge(values, read_toml(overlay), overlay)


def locate_state(path: Path) -> Path:
    """The state folder, also of a box whose config has errors. Raises ConfigRefused where not even that can be read."""
    return _state_of(read_toml(path), path)


def merge(values: dict[str, Any], over: dict[str, Any], origin: Path) -> dict[str, Any]:
    """`over`, read from `origin`, over `values`. Raises ConfigRefused for a setting that has no place there."""
    known = {(section, name) for section, names in PROVISIONED.items() for name in names}
    given = [(section, name) for section, settings in over.items() for name in _table(settings)]
    wrong = [f"{section}.{name}: is not set here" for section, name in given if (section, name) not in known]
    wrong += [f"{section}: is not a section" for section, settings in over.items() if not isinstance(settings, dict)]
    if wrong:
        raise ConfigRefused(str(origin), wrong)
    folder = origin.resolve().parent
    merged = dict(values)
    for section, settings in over.items():
        merged[section] = {**_table(values.get(section)), **_placed(section, settings, folder)}
    return merged


def _placed(section: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    placed = dict(settings)
    for name in ("key", "pin") if section in ("fleet", "console") else ():
        if isinstance(placed.get(name), str):
            placed[name] = str(folder / placed[name])
    if isinstance(placed.get("tls"), dict):
        placed["tls"] = {k: str(folder / v) if isinstance(v, str) else v for k, v in placed["tls"].items()}
    return placed


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _state_of(values: dict[str, Any], path: Path) -> Path:
    state = _table(values.get("box")).get("state", "state")
    return path.resolve().parent / (state if isinstance(state, str) else "state")


def read_toml(path: Path) -> dict[str, Any]:
    """One file as it stands, unchecked. Raises ConfigRefused."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigRefused(str(path), [f"can't be read: {error.strerror or error}"]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigRefused(str(path), [f"is {len(raw)} bytes long; a config has at most {MAX_BYTES}"])
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigRefused(str(path), [f"is not TOML: {error}"]) from error


def parse(values: dict[str, Any], origin: str, folder: Path) -> Config:
    """The same for values that were read already; relative paths are taken from `folder`."""
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigRefused(origin, [_line(item, values) for item in error.errors()]) from error
    return _absolute(config, folder)


def differences(config: Config) -> dict[str, Any]:
    """What of a config is not the default: the part a reader wants to see."""
    return config.model_dump(mode="json", exclude_defaults=True)


def _line(item: Any, values: dict[str, Any]) -> str:
    # A discriminated union puts its tag into the path (devices.camera.virtual.x): what the file has is shown.
    path = [str(part) for part in item["loc"]]
    shown: list[str] = []
    here: Any = values
    for index, part in enumerate(path):
        last = index == len(path) - 1
        if isinstance(here, dict) and part not in here and not last:
            continue
        shown.append(part)
        here = here.get(part) if isinstance(here, dict) else None
    where = ".".join(shown) or "config"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = "is not a setting" + _did_you_mean(path)
    elif item["type"] == "missing":
        message = "is missing"
    elif item["type"] not in ("value_error",):
        message = f"{message} (it is {item['input']!r})"
    return f"{where}: {message}"


def _did_you_mean(path: list[str]) -> str:
    known = [name for model in _models_at(Config, path[:-1]) for name in model.model_fields]
    close = difflib.get_close_matches(path[-1], known, n=1)
    return (
        f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(sorted(set(known)))}" if known else ""
    )


def _models_at(model: type[BaseModel], path: list[str]) -> Iterator[type[BaseModel]]:
    if not path:
        yield model
        return
    field = model.model_fields.get(path[0])
    if field is None:
        return
    for inner in _models_in(field.annotation):
        tag = path[1] if len(path) > 1 else None
        kind = inner.model_fields.get("type")
        if tag is not None and kind is not None and kind.default == tag:
            yield from _models_at(inner, path[2:])
        else:
            yield from _models_at(inner, path[1:])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) in (typing.Union, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _models_in(part)


def _absolute(config: Config, folder: Path) -> Config:
    def fix(value: Any) -> Any:
        if isinstance(value, Path):
            return value if value.is_absolute() else folder / value
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: fix(getattr(value, name)) for name in type(value).model_fields})
        return value

    fixed = fix(config)
    assert isinstance(fixed, Config)
    return fixed
