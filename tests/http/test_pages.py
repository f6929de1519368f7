"""Pages: an opaque cursor in the body, the next page's address in ``Link``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.client import Api


def _fill(api: Api) -> dict[str, int]:
    """Fill every list; return how many lines each has."""
    members = [api.member()["id"] for _ in range(5)]
    for payee in members[1:]:
        api.made(
            "/v1/exchanges",
            {"kind": "gift", "title": "Books", "payer": members[0], "payee": payee},
        )
    for number in range(4):
        api.made("/v1/api-keys", {"label": str(number), "scopes": ["members:read"]})
    api.events(4)
    return {"/v1/members": 5, "/v1/exchanges": 4, "/v1/api-keys": 5, "/v1/events": 4}


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_following_the_links_meets_every_line_once_and_ends(api: Api, limit: int) -> None:
    for path, count in _fill(api).items():
        seen: list[str] = []
        address: str | None = f"{path}?limit={limit}"
        while address is not None:
            answer = api.get(address)
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            assert len(body["data"]) <= limit
            seen += [line["id"] for line in body["data"]]
            link = answer.headers.get("link")
            assert (link is None) == (body["next_cursor"] is None)
            if link is None:
                break
            found = re.fullmatch(r'<(/v1/[^>]+)>; rel="next"', link)
            assert found, link
            assert f"limit={limit}" in found[1]
            assert f"cursor={body['next_cursor']}" in found[1]
            address = found[1]
        assert len(seen) == len(set(seen)) == count, path
        assert seen == sorted(seen, reverse=True), f"{path} is not newest first"


def test_a_page_keeps_its_filters(api: Api) -> None:
    payer, payee, other = (api.member()["id"] for _ in range(3))
    for between in ((payer, payee), (payer, other)) * 2:
        body = {"kind": "gift", "title": "Books", "payer": between[0], "payee": between[1]}
        api.made("/v1/exchanges", body)
    first = api.get(f"/v1/exchanges?member={other}&state=proposed&state=agreed&limit=1")
    address = first.headers["link"].partition(">")[0].removeprefix("<")
    assert f"member={other}" in address
    second = api.get(address).json()
    ids = [line["id"] for line in first.json()["data"] + second["data"]]
    assert len(set(ids)) == 2
    assert second["next_cursor"] is None
    assert {line["payee"] for line in second["data"]} == {other}


def test_lines_added_meanwhile_do_not_shift_a_page(api: Api) -> None:
    before = [api.member()["id"] for _ in range(4)]
    first = api.read("/v1/members", limit=2)
    api.member()
    second = api.read("/v1/members", limit=2, cursor=first["next_cursor"])
    assert [line["id"] for line in first["data"] + second["data"]] == before[::-1]


def test_a_feed_followed_from_its_last_cursor_gives_each_event_once_in_order(api: Api) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for number in range(3):
        body = {"kind": "gift", "title": "Books", "payer": payer, "payee": payee}
        exchange = api.made("/v1/exchanges", body)["id"]
        api.made(f"/v1/exchanges/{exchange}/cancel", {"member": payee})
        api.events(2 * number + 2)
        page = api.read("/v1/events", order="asc", limit=1, **cursor)
        seen += [line["id"] for line in page["data"]]
        assert page["next_cursor"] is not None
        cursor = {"cursor": page["next_cursor"]}
    while page["next_cursor"] is not None:
        page = api.read("/v1/events", order="asc", limit=1, cursor=page["next_cursor"])
        seen += [line["id"] for line in page["data"]]
    everything = [line["id"] for line in api.read("/v1/events", limit=100)["data"]]
    assert seen == everything[::-1]
    assert len(seen) == 6
