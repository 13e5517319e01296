"""The sentences of the box: one TOML catalogue per locale in `wording/`, all with the same keys (a test holds that).

A new language is a new file; no code changes. A locale that is close ("zh", "en-GB") finds its catalogue; LocaleMissing
is raised where there is none. A key that has no sentence of its own takes its family's `other`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from daemon.screen.errors import LocaleMissing


@dataclass(frozen=True)
class Wording:
    """One language's sentences, keyed "family.key"."""

    locale: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of `key` with its values put in; an unknown "family.key" reads "family.other"."""
        sentence = self.sentences.get(key)
        if sentence is None:
            sentence = self.sentences[f"{key.partition('.')[0]}.other"]
        return sentence.format(**values) if values else sentence


@cache
def locales() -> tuple[str, ...]:
    """The locales there are catalogues for."""
    folder = resources.files("daemon.screen") / "wording"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


@cache
def wording(locale: str) -> Wording:
    """The catalogue of a locale, or of its language ("zh-TW" -> "zh-CN"). Raises LocaleMissing."""
    language = locale.replace("_", "-").split("-")[0].lower()
    exact = [known for known in locales() if known.lower() == locale.replace("_", "-").lower()]
    near = [known for known in locales() if known.split("-")[0] == language]
    for found in exact + near:
        file = resources.files("daemon.screen") / "wording" / f"{found}.toml"
        families = tomllib.loads(file.read_text("utf-8"))
        return Wording(found, {f"{f}.{k}": sentence for f, keys in families.items() for k, sentence in keys.items()})
    raise LocaleMissing(locale, locales())
