"""HEAD answers as GET would, without a body: what probes and link checkers ask."""

from __future__ import annotations

import httpx

from service.app import create_app
from service.config import Settings
from tests.http.client import Api, Server
from tests.http.deal import Deal

_OF_THE_MOMENT = {"x-request-id", "date"}


def _alike(caller: Api, path: str, status: int) -> None:
    whole, head = caller.get(path), caller.send("HEAD", path)
    assert (whole.status_code, head.status_code) == (status, status)
    assert (bool(whole.content), head.content) == (True, b"")
    assert _kept(head) == _kept(whole)
    assert head.headers["x-request-id"]


def _kept(answer: httpx.Response) -> dict[str, str]:
    return {name: said for name, said in answer.headers.items() if name not in _OF_THE_MOMENT}


def test_probes_and_refusals_answer_head(anonymous: Api) -> None:
    _alike(anonymous, "/livez", 200)
    _alike(anonymous, "/readyz", 200)
    _alike(anonymous, "/v1/members", 401)
    _alike(anonymous, "/v1/nothing", 404)
    _alike(anonymous, "/v1/members?name=%00", 400)


def test_an_instance_that_is_not_ready_says_so_to_head(app_settings: Settings) -> None:
    gone = "postgresql+psycopg://tierce:none@127.0.0.1:9/nowhere"
    server = Server(create_app(app_settings.model_copy(update={"database_url": gone})))
    try:
        _alike(Api(server, None), "/readyz", 503)
    finally:
        server.close()


def test_a_link_can_be_asked_for_and_what_only_takes_a_post_cannot(
    proposed: Deal, anonymous: Api
) -> None:
    proposed.tell()
    link = proposed.link(proposed.payer)
    _alike(anonymous, link, anonymous.get(link).status_code)
    assert anonymous.get(link).status_code < 400
    _alike(anonymous, "/l/nothing", 404)
    _alike(proposed.api, f"/v1/exchanges/{proposed.exchange['id']}", 200)
    _alike(proposed.api, f"/v1/exchanges/{proposed.exchange['id']}/decline", 405)
