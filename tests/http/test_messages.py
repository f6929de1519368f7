"""Messages, preferences and the mailbox as a platform meets them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from service import db
from service.app import create_app
from service.config import Settings
from tests.http.client import Api, Server, problem
from tests.http.deal import PUBLIC, Deal


def test_messages_are_listed_filtered_and_read_whole(paid: Deal) -> None:
    paid.tell()
    found = paid.api.read("/v1/messages")["data"]
    assert {one["template"] for one in found} >= {"payment_needed", "payment_protected"}
    of_payer = paid.api.read("/v1/messages", member=paid.payer["id"])["data"]
    assert {one["member"] for one in of_payer} == {paid.payer["id"]}
    assert paid.api.read("/v1/messages", exchange=paid.exchange["id"])["data"] == found
    assert paid.api.read("/v1/messages", state="bounced")["data"] == []
    first = paid.api.read("/v1/messages", limit=1)
    second = paid.api.read("/v1/messages", limit=1, cursor=first["next_cursor"])
    assert [first["data"][0], second["data"][0]] == found[:2]
    whole = paid.message(paid.payer)
    assert whole["recipient"] == "anna@example.org"
    assert whole["subject"].startswith("Votre paiement est protégé")
    assert (whole["state"], whole["channel"]) == ("sent", "mailbox")
    assert "&lt;b&gt;vélo" in whole["html"]


def test_a_message_can_be_sent_again_with_another_link(proposed: Deal) -> None:
    before = proposed.message(proposed.payer)
    old = proposed.link(proposed.payer)
    again = proposed.api.made(f"/v1/messages/{before['id']}/resend")
    assert (again["state"], again["resends"], again["sent_at"]) == ("waiting", 1, None)
    assert proposed.link(proposed.payer) != old
    assert proposed.message(proposed.payer)["state"] == "sent"


def test_a_message_of_nobody_is_not_there(api: Api) -> None:
    nobody = "msg_0001j5x7v4e9tsmwd8w1c9xk5v"
    problem(api.get(f"/v1/messages/{nobody}"), 404, "message_not_found")
    problem(api.post(f"/v1/messages/{nobody}/resend"), 404, "message_not_found")


def test_preferences_are_chosen_and_steps_cannot_be_switched_off(proposed: Deal) -> None:
    address = f"/v1/members/{proposed.payer['id']}/message-preferences"
    assert proposed.api.read(address)["steps"] == "email"
    answer = proposed.api.send("PATCH", address, {"news": "none"})
    assert (answer.json()["steps"], answer.json()["news"]) == ("email", "none")
    told = problem(proposed.api.send("PATCH", address, {"steps": "sms"}), 422, "no_phone")
    assert told["pointer"] == "/steps"
    assert "send their phone first" in told["detail"]
    assert proposed.api.read(address)["steps"] == "email"
    phone = {"phone": "+33298000000"}
    proposed.api.send("PATCH", f"/v1/members/{proposed.payer['id']}", phone).raise_for_status()
    answer = proposed.api.send("PATCH", address, {"steps": "sms"})
    assert (answer.json()["steps"], answer.json()["news"]) == ("sms", "none")
    problem(proposed.api.send("PATCH", address, {"steps": "none"}), 422, "invalid_request")
    problem(proposed.api.send("PATCH", address, {"post": "email"}), 422, "invalid_request")


def test_erasing_a_member_erases_what_was_written_to_and_of_them(
    proposed: Deal, anonymous: Api
) -> None:
    proposed.tell()
    link = proposed.link(proposed.payer)
    path = f"/v1/exchanges/{proposed.exchange['id']}"
    proposed.api.made(f"{path}/decline", {"member": proposed.payer["id"]})
    proposed.tell()
    (to_payee,) = proposed.api.read("/v1/messages", member=proposed.payee["id"])["data"]
    assert "Anna" in proposed.api.read(f"/v1/messages/{to_payee['id']}")["text"]
    proposed.api.made(f"/v1/members/{proposed.payer['id']}/erase")
    for one in proposed.api.read("/v1/messages")["data"]:
        whole = proposed.api.read(f"/v1/messages/{one['id']}")
        assert (whole["text"], whole["html"], whole["subject"], whole["recipient"]) == (None,) * 4
    assert anonymous.get(link).status_code == 410
    with db.transaction(proposed.engine, proposed.platform_id) as connection:
        for table in ("message", "message_text", "bounce", "message_preference", "link"):
            for row in connection.scalars(text(f"SELECT t::text FROM service.{table} AS t")):
                assert "Anna" not in row
                assert "anna@" not in row


def test_the_mailbox_is_nowhere_unless_the_settings_say_so(anonymous: Api, api: Api) -> None:
    for caller in (anonymous, api):
        problem(caller.get("/dev/mailbox"), 404, "not_found")
        problem(caller.get("/dev/mailbox/msg_0001j5x7v4e9tsmwd8w1c9xk5v"), 404, "not_found")


def test_the_mailbox_of_a_development_machine_shows_what_was_told(
    proposed: Deal, app_settings: Settings, new_api: Callable[..., Api]
) -> None:
    message = proposed.message(proposed.payer)
    server = Server(create_app(app_settings.model_copy(update={"dev_pages": True})))
    try:
        anybody = Api(server, None)
        page = anybody.get("/dev/mailbox")
        assert page.status_code == 200
        assert f'href="/dev/mailbox/{message["id"]}"' in page.text
        one = anybody.get(f"/dev/mailbox/{message['id']}")
        assert one.status_code == 200
        assert f'href="{PUBLIC}{proposed.link(proposed.payer)}"' in one.text
        assert "<b>vélo" not in one.text
        assert "script" not in one.headers["content-security-policy"]
        problem(anybody.get("/dev/mailbox/msg_nothing"), 404, "not_found")
    finally:
        server.close()
