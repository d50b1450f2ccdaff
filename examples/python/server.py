"""A WSGI application: CONSENT_SERVICE=http://127.0.0.1:8080 CONSENT_SITE=shop python3 server.py"""

import os
from wsgiref.simple_server import WSGIRequestHandler, make_server

from consent import Consent

consent = Consent(os.environ["CONSENT_SERVICE"], os.environ["CONSENT_SITE"])


@consent.require("statistics")
def statistics(environ, start_response):
    # Reached only with consent: whatever happens here may use what was granted.
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"counted"]


@consent.require("marketing")
def marketing(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"counted"]


def page(environ, start_response):
    # There for everybody, with a part that is not. A cache must keep it for nobody else.
    start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "private, no-store")])
    return [b"statistics: on" if consent.granted(environ, "statistics") else b"statistics: off"]


ROUTES = {"/statistics": statistics, "/marketing": marketing}


def application(environ, start_response):
    return ROUTES.get(environ["PATH_INFO"], page)(environ, start_response)


class Quiet(WSGIRequestHandler):
    """Logs no address of a visitor."""

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "0")), application, handler_class=Quiet) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
