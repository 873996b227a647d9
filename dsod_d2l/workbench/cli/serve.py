"""The command serve: detections over HTTP, for programs on this machine."""

import asyncio
import contextlib
import socket
import sys
from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...config.base import require
from ...config.schedules import DRAWN
from ...datasets.pictures import decode_image, encoded_size
from ..live_page import NAMES
from .detect import as_rows
from .options import add_detector, add_fields, make_detector, pairs

PACKAGES = ("fastapi", "uvicorn", "python_multipart")
CONNECTIONS = 64             # at one time; others are told to come again
MOST_SIDES = 1 << 25         # 34 million pixels: 101 MB, once decoded


class ServeOptions:
    """Where it answers, and for how much it has patience.

    port (PORT): on 127.0.0.1, where it listens; 0: one that is free
    most_bytes (COUNT): bytes of a request, at most
    seconds: in which a picture must arrive, and then be answered
    """

    port: int = 8000
    most_bytes: int = 20_000_000
    seconds: float = 30.0


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    add_fields(parser, ServeOptions)
    add_detector(parser, DRAWN)


def run(options: Namespace) -> tuple[Any, str]:
    """Answer pictures with detections over HTTP, on this machine alone."""
    missing = [name.replace("_", "-") for name in PACKAGES
               if find_spec(name) is None]
    require(not missing, f"serve needs {', '.join(missing)}, not installed "
            "here: pip install 'dsod-d2l[serve]'")
    import uvicorn
    app = application(make_detector(options), options.most_bytes,
                      options.seconds)
    try:
        listening = socket.create_server((NAMES[0], options.port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"port {options.port} cannot be had ({error}): "
                         "--port 0 takes one that is free") from error
    value = {"address": f"http://{NAMES[0]}:{listening.getsockname()[1]}/"}
    print(f"a page to try: {value['address']}; programs POST a picture to "
          f"{value['address']}detect; Ctrl-C stops", file=sys.stderr,
          flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(
            app, log_level="warning", limit_concurrency=CONNECTIONS)
        ).run(sockets=[listening])
    return value, pairs(value)


def application(detector: Any, most_bytes: int, seconds: float) -> Any:
    """Return what answers requests, for any server that speaks ASGI.

    ``POST /detect`` takes a picture as the body, or as the file of a form,
    and answers what ``detect --json`` prints; ``/`` is a page to try.

    Args:
        detector: ``Detector``; one thread alone runs it.
        most_bytes, seconds: see ``ServeOptions``.
    """
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect
    app, worker = FastAPI(openapi_url=None), ThreadPoolExecutor(1)
    # Pages of others reach this machine by names that they give it.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES))
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")

    async def sent(request):
        """Return the bytes of the picture in a request."""
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise HTTPException(411, "expected the header Content-Length")
        if int(length) > most_bytes:
            raise HTTPException(413, f"expected at most {most_bytes} bytes, "
                                f"found {length}")
        data = await request.body()
        if "multipart/" in request.headers.get("content-type", ""):
            async with request.form(max_files=1, max_fields=8) as form:
                files = [one for one in form.values()
                         if not isinstance(one, str)]
                data = await files[0].read() if files else b""
        return data

    def found(data):
        rows, columns = encoded_size(data, "the picture")
        require(rows * columns <= MOST_SIDES, "the picture: expected at most "
                f"{MOST_SIDES:,} pixels, found {columns} x {rows}")
        return as_rows(detector.detect(decode_image(data, "the picture")))

    async def detect(request):
        try:
            data = await asyncio.wait_for(sent(request), seconds)
            return JSONResponse(await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(
                    worker, found, data), seconds))
        except asyncio.TimeoutError:
            raise HTTPException(408, f"not done within {seconds:g} seconds"
                                ) from None
        except (ValueError, ClientDisconnect) as error:
            raise HTTPException(422, str(error)) from error
    app.add_route("/detect", detect, methods=["POST"])
    app.add_route("/", lambda request: HTMLResponse(page))
    return app
