"""Who may come in: the right host, no other page's scripts, the token, and no more than a request may hold."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.apps.serve.limits import Refused

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
PRIVATE = ("/api", "/metrics")
SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Gate:
    """ASGI middleware around the service. Without `hosts` it answers to any name, without `token` to anybody."""

    def __init__(self, app: ASGIApp, upload: int, token: str | None, hosts: Collection[str] | None) -> None:
        self.app, self.upload, self.token, self.hosts = app, upload, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE)
            await send(message)

        try:
            self.check(scope["path"], Headers(scope=scope))
        except Refused as no:
            await JSONResponse({"error": str(no)}, no.status)(scope, receive, sent)
            return
        await self.app(scope, self.counted(receive), sent)

    def check(self, path: str, headers: Headers) -> None:
        """Raises Refused for whom the answer is not meant."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and urlsplit(f"//{host}").hostname not in self.hosts:
            raise Refused(403, "the service answers to its own name alone")  # else names of others could lead here
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refused(403, "pages of other origins may not use the service")
        if self.token and path.startswith(PRIVATE):
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                raise Refused(401, "the service wants its token, as the header Authorization: Bearer TOKEN")
        if headers.get("content-length", "0").isdecimal() and int(headers.get("content-length", "0")) > self.upload:
            raise self.too_large()

    def counted(self, receive: Receive) -> Receive:
        """The body, as long as it is not too large."""
        count = 0

        async def counting() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self.upload:
                raise self.too_large()
            return message

        return counting

    def too_large(self) -> Refused:
        return Refused(413, f"a request may have {self.upload:,} bytes; send smaller pictures, or fewer")
