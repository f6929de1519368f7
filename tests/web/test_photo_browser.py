"""A photograph from a camera, in a real browser: a large one is made smaller, or told in words."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.http.deal import Deal
from tests.web.eyes import Open, wrong


def reported(paid: Deal, opened: Open, **more: object) -> Page:
    """The page of a problem that the payer has just reported."""
    page = opened(paid.link(paid.payer), **more)
    page.get_by_role("link", name="Signaler un problème").click()
    page.get_by_role("link", name="Ce n'est pas ce qui était décrit").click()
    for field in page.locator("textarea[required]").all():
        field.fill("Le colis est vide.")
    page.get_by_role("button", name="Signaler ce problème").click()
    page.get_by_role("heading", name="Ce que chacun a").wait_for()
    return page


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a photograph of more than 20 MB, as the camera of a newer telephone makes them."""
    size = (4800, 3600)
    noise = random.Random(6).randbytes(size[0] * size[1] * 3)
    made = BytesIO()
    Image.frombytes("RGB", size, noise).save(made, "JPEG", quality=97)
    assert made.tell() > 20_000_000
    path = tmp_path_factory.mktemp("photo") / "huge.jpg"
    path.write_bytes(made.getvalue())
    return path


def test_a_photograph_of_twenty_megabytes_is_made_smaller_and_taken(
    paid: Deal, opened: Open, huge: Path
) -> None:
    page = reported(paid, opened)
    page.locator("input[type=file]").set_input_files(huge)
    page.get_by_role("button", name="Ajouter cette photo").click()
    page.get_by_text("C'est noté.").wait_for()
    there = page.get_by_role("img", name="Photo : Vous").get_attribute("src")
    assert there is not None
    content = page.request.get(there).body()
    assert max(Image.open(BytesIO(content)).size) == 3000
    assert len(content) < 10_000_000


def test_without_a_script_a_photograph_of_twenty_megabytes_is_refused_in_words(
    paid: Deal, opened: Open, huge: Path
) -> None:
    page = reported(paid, opened, java_script_enabled=False)
    page.locator("input[type=file]").set_input_files(huge)
    page.get_by_role("button", name="Ajouter cette photo").click()
    page.get_by_role("heading", name="C'est trop lourd").wait_for()
    page.get_by_role("link", name="Revenir à ma page").click()
    page.get_by_role("heading", name="Ce que chacun a").wait_for()


def test_the_page_of_a_mishap_has_no_barrier(opened: Open) -> None:
    assert wrong(opened("/nowhere")) == []
