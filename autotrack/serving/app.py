"""The server: one model behind HTTP, with the paths and forms of MLflow's scoring server.

Starlette and uvicorn do the HTTP. What is ours: bounds on everything that a stranger can make grow. A body has a size,
and a time in which it must be there; predictions are made in a fixed number of threads, so many requests wait and no
more, and nobody waits longer than the limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from autotrack.errors import AutotrackError
from autotrack.models.pyfunc import PyFuncModel
from autotrack.serving import payload

log = logging.getLogger("autotrack.serving")


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    body_bytes: int = 16 * 1024 * 1024
    """Size of a body."""
    body_seconds: float = 30.0
    """Time in which the body has to arrive."""
    predict_seconds: float = 60.0
    """Time in which a prediction has to be made, the wait for a thread included."""
    threads: int = 1
    """Predictions at the same time: more than one only where the model's `predict` is safe for threads."""
    waiting: int = 100
    """Requests that wait for a thread."""


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = JSONResponse({"error_code": code, "message": message}, status)


def make_app(model: PyFuncModel, version: str, limits: Limits | None = None) -> Starlette:
    """The ASGI application.

    Paths: `GET /ping` and `/health` (200 when it is ready), `GET /version`, `POST /invocations` (JSON in one of the
    forms of `payload.FORMS`, or `text/csv`), which answers `{"predictions": ...}`. Errors are
    `{"error_code": ..., "message": ...}`: 400 for input that does not match; 408, 413, 415, 503 (too many wait) and
    504 for the limits; 500 for an error of the model, whose traceback goes to the log alone.

    Args:
        model: The model.
        version: What `/version` answers.
        limits: Bounds; see `Limits`.
    """
    scorer = _Scorer(model, limits or Limits())

    def answer(text: str) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return Response(text, media_type="text/plain")

        return endpoint

    return Starlette(
        routes=[
            Route("/ping", answer("\n")),
            Route("/health", answer("\n")),
            Route("/version", answer(version)),
            Route("/invocations", scorer.invocations, methods=["POST"]),
        ]
    )


class _Scorer:
    def __init__(self, model: PyFuncModel, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.threads, "predict")
        self._open = 0

    async def invocations(self, request: Request) -> Response:
        """One request."""
        try:
            kind = self._kind(request)
            body = await self._body(request)
            return Response(await self._predict(kind, body), media_type="application/json")
        except Refused as refused:
            return refused.response
        except AutotrackError as error:
            return Refused(400, "BAD_REQUEST", str(error)).response
        except ClientDisconnect:
            return Response(status_code=400)

    def _kind(self, request: Request) -> str:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/json", "text/csv"):
            message = f"Content-Type: got {kind or 'none'}; expected application/json or text/csv"
            raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message)
        return kind

    async def _body(self, request: Request) -> bytes:
        limit = self._limits.body_bytes
        too_large = Refused(413, "PAYLOAD_TOO_LARGE", f"the body may have {limit} bytes; send fewer rows at a time")
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > limit:
            raise too_large

        async def read() -> bytes:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
            return bytes(body)

        try:
            return await asyncio.wait_for(read(), self._limits.body_seconds)
        except asyncio.TimeoutError:
            message = f"the body was not there after {self._limits.body_seconds:g} s"
            raise Refused(408, "REQUEST_TIMEOUT", message) from None

    async def _predict(self, kind: str, body: bytes) -> bytes:
        limits = self._limits
        if self._open >= limits.threads + limits.waiting:
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", f"{self._open} requests wait already; try again later")
        loop = asyncio.get_running_loop()
        self._open += 1
        future = self._threads.submit(self._score, kind, body)
        # A prediction that was given up goes on in its thread: until it ends, its place is taken.
        future.add_done_callback(lambda _: _call_soon(loop, self._close_one))
        done, _ = await asyncio.wait({asyncio.wrap_future(future)}, timeout=limits.predict_seconds)
        if not done:
            raise Refused(504, "DEADLINE_EXCEEDED", f"no prediction after {limits.predict_seconds:g} s")
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, AutotrackError):
            raise error
        log.error("the model failed", exc_info=error)
        raise Refused(500, "INTERNAL_ERROR", f"the model failed: {type(error).__name__}: {error}")

    def _close_one(self) -> None:
        self._open -= 1

    def _score(self, kind: str, body: bytes) -> bytes:
        signature = self._model.metadata.signature
        params: dict[str, Any] | None = None
        if kind == "text/csv":
            data = payload.read_csv(body, signature)
        else:
            data, params = payload.read_json(body, signature)
        return payload.json_bytes(self._model.predict(data, params))


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
