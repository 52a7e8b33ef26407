"""A small web site on this machine, which the demo, the benchmark and tests crawl.

Whoever starts it hands the crawl a policy that allows its address and port alone.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

ADDRESS = "127.0.0.1"
START_S = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pages(names: Sequence[str], per_page: int) -> dict[str, str]:
    """By path, the pages of a gallery: a first page that links to all others, and those with `per_page` images each."""
    chunks = [names[first : first + per_page] for first in range(0, len(names), per_page)]
    listed = "".join(f'<li><a href="/gallery/{number}">gallery {number}</a></li>' for number in range(len(chunks)))
    found = {"/": f"<!doctype html><title>Photos</title><ul>{listed}</ul>"}
    for number, chunk in enumerate(chunks):
        images = "".join(f'<img src="/image/{name}" alt="{name}">' for name in chunk)
        found[f"/gallery/{number}"] = f'<!doctype html><title>Gallery {number}</title>{images}<a href="/">all</a>'
    return found


def gallery(images: dict[str, bytes], per_page: int) -> Handler:
    """Answers with the images, by name, and with the pages that show them."""
    texts = pages(list(images), per_page)

    async def answer(request: web.Request) -> web.Response:
        image = images.get(request.path.removeprefix("/image/"))
        if image is not None:
            return web.Response(body=image, content_type="image/jpeg")
        text = texts.get(request.path)
        return web.Response(text=text, content_type="text/html") if text else web.Response(status=404)

    return answer


@contextmanager
def serving(answer: Handler) -> Iterator[int]:
    """Serves in a thread; yields the port on ADDRESS."""
    loop, stopping = asyncio.new_event_loop(), asyncio.Event()
    port: asyncio.Future[int] = loop.create_future()
    started = threading.Event()

    async def serve() -> None:
        runner = await start(answer, ADDRESS, 0)
        port.set_result(int(runner.addresses[0][1]))
        started.set()
        await stopping.wait()
        await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run, name="local-site", daemon=True)
    thread.start()
    started.wait(START_S)
    try:
        yield port.result()
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(START_S)


async def start(answer: Handler, address: str, port: int) -> web.AppRunner:
    """Serves in this event loop, until the runner is cleaned up."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner
