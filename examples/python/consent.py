"""Consent checks for a WSGI application, over HTTP, with the standard library only.

The rules are the service's: it is sent the visitor's consent cookie and signals, and says whether they may have what needs consent, by the
cookie and by all that was recorded since, on whatever device. Whatever is in doubt, a service that is away above all, is denied.
"""

import json
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

# What the answer depends on.
SIGNALS = {"Sec-GPC": "HTTP_SEC_GPC", "DNT": "HTTP_DNT"}


class _NoRedirect(HTTPRedirectHandler):
    """What another address answers is not the service's word."""

    def redirect_request(self, *_):
        return None


class Consent:
    """One site of a consent service. Needs no key: whoever asks learns what their own cookie may have."""

    def __init__(self, service, site, cookie="consent", timeout=1.0):
        self._address = f"{service.rstrip('/')}/v1/sites/{site}/authorize?"
        self._cookie, self._timeout = cookie, timeout
        self._opener = build_opener(ProxyHandler({}), _NoRedirect)

    def granted(self, environ, category):
        """Whether a category or "category:service" may be used for who sends this request."""
        try:
            category, _, service = category.partition(":")
            asked = {"category": category, "service": service} if service else {"category": category}
            headers = {name: environ[key] for name, key in SIGNALS.items() if key in environ}
            headers["Cookie"] = self._own(environ.get("HTTP_COOKIE", ""))
            request = Request(self._address + urlencode(asked), headers=headers)
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.status == 204
        except HTTPError as refused:
            refused.close()
            return False
        # No answer, none in time, or none that can be read.
        except (OSError, HTTPException, ValueError):
            return False

    def require(self, category):
        """A decorator for WSGI applications: 403 unless the category is granted."""

        def decorate(application):
            def guarded(environ, start_response):
                if self.granted(environ, category):
                    return application(environ, start_response)
                detail = f'"{category}" may not be used for this visitor'
                problem = {"type": "/problems/no-consent", "title": "No consent", "status": 403, "detail": detail}
                headers = [
                    ("Content-Type", "application/problem+json"),
                    ("Cache-Control", "no-store"),
                    ("Vary", "Cookie, Sec-GPC, DNT"),
                ]
                start_response("403 Forbidden", headers)
                return [json.dumps(problem).encode()]

            return guarded

        return decorate

    def _own(self, cookies):
        """The consent cookies of a header, all that there are; others are not the service's to see."""
        pairs = (pair.strip() for pair in cookies.split(";"))
        return "; ".join(pair for pair in pairs if pair.split("=")[0].strip() == self._cookie)
