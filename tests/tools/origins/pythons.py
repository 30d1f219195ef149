"""Tells what request servers written in Python saw.

pythons.py aiohttp|tornado|cheroot PORT, or `pythons:wsgi` for gunicorn.
"""

import sys


def seen(method, target, body, content_type, x):
    texts = (method, target, body, content_type or "", x or "")
    return ":".join(
        (text if isinstance(text, bytes) else text.encode("latin-1", "surrogateescape")).hex()
        for text in texts
    )


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    target = environ.get("RAW_URI") or environ["REQUEST_URI"]
    told = seen(
        environ["REQUEST_METHOD"], target, body, environ.get("CONTENT_TYPE"), environ.get("HTTP_X")
    )
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2"), ("X-Seen", told)]
    )
    return [b"ok"]


def run_aiohttp(port):
    from aiohttp import web

    async def answer(request):
        body, fields = await request.read(), request.headers
        told = seen(
            request.method, request.raw_path, body, fields.get("Content-Type"), fields.get("X")
        )
        return web.Response(text="ok", headers={"X-Seen": told})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def run_tornado(port):
    import asyncio

    from tornado import httpserver, httputil

    def answer(request):
        fields = request.headers
        told = seen(
            request.method, request.uri, request.body, fields.get("Content-Type"), fields.get("X")
        )
        head = httputil.HTTPHeaders({"Content-Length": "2", "X-Seen": told})
        line = httputil.ResponseStartLine("HTTP/1.1", 200, "OK")
        request.connection.write_headers(line, head, b"" if request.method == "HEAD" else b"ok")
        request.connection.finish()

    async def run():
        httpserver.HTTPServer(answer).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(run())


def run_cheroot(port):
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), wsgi, numthreads=8, timeout=75).start()


if __name__ == "__main__":
    {"aiohttp": run_aiohttp, "tornado": run_tornado, "cheroot": run_cheroot}[sys.argv[1]](
        int(sys.argv[2])
    )
