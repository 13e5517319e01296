"""Logs for journald: one line an event, `event=name key=value`, to stderr. Never face, template, PIN, phone or key."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from secure_store.hardening import SecretFilter

Facts = dict[str, object]


def note(logger: logging.Logger, event: str, level: int = logging.INFO, **facts: object) -> None:
    """Logs `event` with its facts."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in facts.items()}
    logger.log(level, event, extra={"facts": rounded})


class KeyValueFormatter(logging.Formatter):
    """`level=info logger=daemon.box event=order_arrived order=...`; spaces and quotes in values are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"level={record.levelname.lower()}", f"logger={record.name}"]
        parts += [f"{_plain(key)}={_quoted(value)}" for key, value in facts_of(record).items()]
        text = " ".join(parts)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:  # the filter's, secrets withheld
            text += f" error={_quoted(record.exc_text.splitlines()[-1])}\n{record.exc_text}"
        return text


class ForwardingHandler(logging.Handler):
    """Hands each line's facts to `sink`, for a page that shows them."""

    def __init__(self, sink: Callable[[Facts], None]) -> None:
        super().__init__(logging.INFO)
        self.addFilter(SecretFilter())
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        self._sink({"level": record.levelname.lower(), **facts_of(record)})


def facts_of(record: logging.LogRecord) -> Facts:
    """The line as a mapping; a message that is already `key=value` text is taken apart."""
    facts: Facts | None = getattr(record, "facts", None)
    if facts is not None:
        return {"event": record.getMessage(), **facts}
    message = record.getMessage()
    if message.startswith("event=") and '"' not in message:
        said: Facts = {}
        for key, _, value in (part.partition("=") for part in message.split(" ")):
            said.setdefault(key, value)  # the first counts: what comes later may be a stranger's words
        return said
    return {"event": message}


def set_up(level: str = "INFO") -> None:
    """Everything to stderr, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    handler.addFilter(SecretFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


def _quoted(value: object) -> str:
    text = _plain(str(value))
    return text if text and not set(text) & set(' "=') else '"' + text.replace('"', "'") + '"'


def _plain(text: str) -> str:
    """One line that steers no terminal: what a device, a file or a message says may hold anything."""
    return "".join(one if one.isprintable() else " " for one in text)
