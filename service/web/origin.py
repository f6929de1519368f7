"""Forms are taken from our own pages alone.

The token in a link's address is the credential, and no other site knows it; should one come to,
it still cannot send a form with it from a visitor's browser.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request


def is_ours(request: Request, public_url: str) -> bool:
    """Tell whether a form comes from a page of ours, as far as the browser says.

    Browsers name the sort of site (``Sec-Fetch-Site``), older ones the origin. What names neither
    is no browser, and no site makes it send anything.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return True
    ours = {request.headers.get("host", ""), urlsplit(public_url).netloc}
    return urlsplit(origin).netloc in ours - {""}
