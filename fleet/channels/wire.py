"""One HTTP call to a provider: a time limit, a size limit, no redirects; what goes wrong has one word."""

from __future__ import annotations

import ssl

import aiohttp

from fleet.channels.adapter import Reason

MAX_ANSWER_BYTES = 4 * 1024 * 1024


class NoWord(Exception):
    """No usable answer came; whether the provider acted is not known."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Wire:
    """The connections to one provider; `tls` where it wants a certificate of ours."""

    def __init__(self, base_url: str, call_s: float, tls: ssl.SSLContext | None = None) -> None:
        self._base, self._timeout = base_url.rstrip("/"), aiohttp.ClientTimeout(total=call_s)
        self._tls: ssl.SSLContext | bool = tls if tls is not None else True
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of a 200 answer. Raises NoWord."""
        return await self._ask("POST", self._base + path, body, {"Content-Type": content_type})

    async def get(self, url: str) -> bytes:
        """The same for a whole address that the provider gave. Raises NoWord."""
        return await self._ask("GET", url, None, {})

    async def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        if self._session is None:  # made here, as it belongs to the running loop
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=False)
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, ssl=self._tls
            ) as response:
                text = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(text) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                    text += more
        except TimeoutError as error:
            raise NoWord(Reason.TIMEOUT, method) from error
        except aiohttp.ClientConnectorError as error:
            raise NoWord(Reason.UNREACHABLE, type(error).__name__) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoWord(Reason.CUT_OFF, type(error).__name__) from error
        if response.status != 200:
            raise NoWord(Reason.PROVIDER_ERROR, f"HTTP {response.status}")
        if len(text) > MAX_ANSWER_BYTES:
            raise NoWord(Reason.MALFORMED, "too long")
        return text

    async def close(self) -> None:
        """May be called twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None
