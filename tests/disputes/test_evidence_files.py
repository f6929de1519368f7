"""Files of evidence: known by their bytes, stripped of what they tell, refused when they act."""

from __future__ import annotations

import base64
import io
import random
import zlib

import pytest
from PIL import Image, PngImagePlugin

from disputes import documents, images, sniff
from disputes.evidence_refusals import (
    FileActive,
    FileTypeRefused,
    FileUnreadable,
    ImageTooLarge,
)
from tests.disputes import samples


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (samples.encoded(samples.image(), "JPEG"), sniff.JPEG),
        (samples.encoded(samples.image(), "PNG"), sniff.PNG),
        (samples.encoded(samples.image(), "WEBP"), sniff.WEBP),
        (samples.plain_pdf(), sniff.PDF),
    ],
)
def test_a_file_is_known_by_its_own_bytes(content: bytes, type_: str) -> None:
    assert sniff.sniff(content[: sniff.HEAD]) == type_


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (samples.SVG, "SVG"),
        (b"\xef\xbb\xbf  <svg onload='x()'>", "SVG"),
        ("<svg onload='x()'></svg>".encode("utf-16"), "SVG"),
        (b"<!-- a comment --><html><body>", "web page"),
        (b"<?xml version='1.0'?><note/>", "XML"),
        (samples.zip_bomb(), "zip"),
        (zlib.compress(b"x"), "no kind"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (samples.encoded(samples.image(), "GIF"), "GIF"),
        (samples.encoded(samples.image(), "TIFF"), "TIFF"),
        (samples.encoded(samples.image(), "BMP"), "BMP"),
        (samples.encoded(samples.image(), "AVIF"), "HEIC or AVIF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "film"),
        (b"MZ\x90\x00", "program"),
        (b"#!/bin/sh\n", "script"),
        (b"RIFF\x00\x00\x00\x00WAVE", "sound"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office"),
        (b"just words", "no kind"),
        (b" %PDF-1.7", "no kind"),
        (b"\x00", "no kind"),
    ],
)
def test_everything_else_is_refused_by_what_it_looks_like(content: bytes, found: str) -> None:
    with pytest.raises(FileTypeRefused) as refused:
        sniff.sniff(content[: sniff.HEAD])
    assert found in refused.value.detail
    assert refused.value.facts["taken"] == list(sniff.TAKEN)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(FileUnreadable):
        sniff.sniff(b"")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_comes_back_without_where_it_was_taken(format_: str) -> None:
    sent = samples.located(format_)
    assert opened(sent).getexif()
    assert sum(secret in sent for secret in samples.SECRETS) >= 2
    kept, type_ = images.clean(sent, f"image/{format_.lower()}")
    found = opened(kept)
    assert not found.getexif()
    assert not any(secret in kept for secret in samples.SECRETS)
    assert not {"exif", "xmp", "comment", "icc_profile", "XML:com.adobe.xmp"} & set(found.info)
    assert type_ == ("image/png" if format_ == "PNG" else "image/jpeg")
    assert found.size == (64, 48)


def test_a_photograph_is_turned_as_its_metadata_said() -> None:
    upright, _ = images.clean(samples.located(orientation=1), sniff.JPEG)
    turned, _ = images.clean(samples.located(orientation=6), sniff.JPEG)
    assert opened(upright).size == (64, 48)
    found = opened(turned)
    assert found.size == (48, 64)
    top, bottom = found.getpixel((24, 5)), found.getpixel((24, 58))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > 60 > top[2]  # red, which was on the left
    assert bottom[2] > 200 > 60 > bottom[0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_pixels_is_kept_in_plain_colours(mode: str) -> None:
    if mode == "CMYK":
        sent, type_ = samples.encoded(samples.image(mode=mode), "JPEG"), sniff.JPEG
    elif mode == "I;16":
        grey = Image.new("I;16", (8, 8), 0x8000)
        sent, type_ = samples.encoded(grey, "PNG"), sniff.PNG
    else:
        sent, type_ = samples.encoded(samples.image(mode=mode), "PNG"), sniff.PNG
    kept, _ = images.clean(sent, type_)
    found = opened(kept)
    assert found.mode in {"RGB", "RGBA"}
    if mode == "I;16":
        assert found.getpixel((0, 0)) == (128, 128, 128)


def test_what_is_see_through_stays_so() -> None:
    sent = samples.encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 40)), "WEBP", lossless=True)
    kept, type_ = images.clean(sent, sniff.WEBP)
    assert type_ == sniff.PNG
    assert opened(kept).getpixel((0, 0)) == (10, 20, 30, 40)


def test_a_very_large_photograph_is_made_smaller() -> None:
    sent = samples.encoded(samples.image(5_000, 2_500), "JPEG")
    kept, _ = images.clean(sent, sniff.JPEG)
    assert opened(kept).size == (images.LONGEST_SIDE, images.LONGEST_SIDE // 2)


@pytest.mark.parametrize(
    ("width", "height"), [(100_000, 100_000), (10_000, 10_000), (50_001, 1_000)]
)
def test_an_image_that_says_it_is_huge_is_refused_before_it_is_decoded(
    width: int, height: int
) -> None:
    sent = samples.huge_png(width, height)
    assert len(sent) < 2_000
    with pytest.raises(ImageTooLarge):
        images.clean(sent, sniff.PNG)


def test_text_packed_into_an_image_does_not_blow_up() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (80 * 1024 * 1024), zip=True)
    sent = samples.encoded(samples.image(), "PNG", pnginfo=info)
    assert len(sent) < 200_000
    with pytest.raises(FileUnreadable):
        images.clean(sent, sniff.PNG)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_an_image_that_is_cut_short_is_refused(format_: str) -> None:
    sent = samples.encoded(samples.image(640, 480), format_)
    for length in (12, 60, len(sent) // 2):
        with pytest.raises(FileUnreadable):
            images.clean(sent[:length], f"image/{format_.lower()}")


# The decoder warns of metadata that it cannot read; those are not kept anyway.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_spoilt_images_are_refused_or_cleaned_and_break_nothing(seed: int) -> None:
    chance = random.Random(seed)
    sent = {
        sniff.JPEG: samples.located("JPEG"),
        sniff.PNG: samples.located("PNG"),
        sniff.WEBP: samples.located("WEBP"),
    }
    for _ in range(150):
        type_ = chance.choice(list(sent))
        spoilt = bytearray(sent[type_])
        for _ in range(chance.randint(1, 8)):
            spoilt[chance.randrange(12, len(spoilt))] = chance.randrange(256)
        try:
            kept, _ = images.clean(bytes(spoilt), type_)
        except (FileUnreadable, ImageTooLarge):
            continue
        assert not opened(kept).getexif()


def test_a_file_that_is_two_things_at_once_is_kept_as_an_image_alone() -> None:
    sent = samples.encoded(samples.image(), "JPEG") + samples.SVG + samples.zip_bomb()
    kept, _ = images.clean(sent, sniff.JPEG)
    assert b"script" not in kept
    assert b"PK\x05\x06" not in kept


def test_colours_stay_what_they_looked_like_without_their_profile() -> None:
    green = Image.new("RGB", (8, 8), (0, 200, 0))
    sent = samples.encoded(green, "PNG", icc_profile=samples.exchanged_profile())
    kept, _ = images.clean(sent, sniff.PNG)
    found = opened(kept).getpixel((0, 0))
    assert isinstance(found, tuple)
    assert found[0] > 190 > 10 > found[1]
    for profile in (b"not a profile at all", bytes(100_000)):
        sent = samples.encoded(green, "PNG", icc_profile=profile)
        kept, _ = images.clean(sent, sniff.PNG)
        assert opened(kept).getpixel((0, 0)) == (0, 200, 0)


def test_an_image_of_another_type_than_its_bytes_is_not_opened() -> None:
    with pytest.raises(FileUnreadable):
        images.clean(samples.encoded(samples.image(), "PNG"), sniff.JPEG)


def test_a_plain_document_is_taken_as_it_is() -> None:
    documents.check(samples.plain_pdf())
    documents.check(samples.pdf(b"<< /Type /Catalog >>", samples.packed(b"1 0 << /Type /Page >>")))


#: Each does something when it is opened, or carries something.
ACTIVE = [
    b"<< /Type /Catalog /OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> >>",
    b"<< /S /Launch /F (cmd.exe) >>",
    b"<< /Names << /EmbeddedFiles 2 0 R >> >>",
    b"<< /Subtype /FileAttachment >>",
    b"<< /Subtype/RichMedia/Rect[0 0 1 1]>>",
    b"<< /AcroForm << /XFA [] >> >>",
    b"<< /S /SubmitForm /F (http://127.0.0.1/) >>",
    b"<< /S /Rendition /JS (x) >>",
    b"<< /Encrypt 3 0 R >>",
]


@pytest.mark.parametrize("object_", ACTIVE)
def test_a_document_that_acts_carries_or_hides_is_refused(object_: bytes) -> None:
    with pytest.raises(FileActive):
        documents.check(samples.pdf(object_))


@pytest.mark.parametrize("object_", ACTIVE)
def test_it_is_found_in_packed_objects_too(object_: bytes) -> None:
    with pytest.raises(FileActive):
        documents.check(samples.pdf(samples.packed(b"1 0 " + object_)))
    # A checksum that is wrong does not stop a reader, and not us.
    broken = zlib.compress(b"1 0 " + object_)[:-2] + b"xx"
    with pytest.raises(FileActive):
        documents.check(samples.pdf(samples.packed(b"", body=broken)))
    # Nor does a name that says it is something else.
    with pytest.raises(FileActive):
        documents.check(samples.pdf(samples.packed(b"1 0 " + object_, b"/Type /Odd")))


def test_names_written_with_escapes_are_read_as_readers_do() -> None:
    for name in (b"/J#61vaScript", b"/#4a#61#76#61#53#63#72#69#70#74", b"/JavaScrip#74"):
        with pytest.raises(FileActive):
            documents.check(samples.pdf(b"<< /S %s >>" % name))
        with pytest.raises(FileActive):
            documents.check(samples.pdf(samples.packed(b"1 0 << /S %s >>" % name)))


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        (b"/ASCII85Decode", b"/Type /ObjStm /N 1 /First 4"),
        (b"[/ASCIIHexDecode /FlateDecode]", b"/Type /ObjStm /N 1 /First 4"),
        (b"/LZWDecode", b"/Type /Obj#53tm /N 1 /First 4"),
        (b"/FlateDecode /DecodeParms << /Predictor 12 >>", b"/Type /ObjStm /N 1 /First 4"),
    ],
)
def test_objects_packed_so_that_nobody_can_look_inside_are_refused(
    filter_: bytes, names: bytes
) -> None:
    body = base64.a85encode(b"1 0 << /S /JavaScript >>") + b"~>"
    packed = samples.packed(b"", names, body=body, filter=filter_)
    with pytest.raises(FileUnreadable):
        documents.check(samples.pdf(packed))


def test_a_document_that_holds_far_more_than_its_size_says_is_refused() -> None:
    body = zlib.compress(bytes(documents.MOST_UNPACKED + 1), 9)
    assert len(body) < 200_000
    with pytest.raises(FileUnreadable):
        documents.check(samples.pdf(samples.packed(b"", b"/Type /XObject", body=body)))


@pytest.mark.parametrize(
    "content",
    [
        samples.plain_pdf()[:-200],
        samples.plain_pdf() + b"<script>alert(1)</script>",
        samples.plain_pdf() + samples.zip_bomb(),
        samples.zip_bomb() + samples.plain_pdf(),
        samples.plain_pdf()[:-6] + samples.zip_bomb() + b"\n%%EOF\n",
        b"%PDF-",
        b"",
    ],
)
def test_a_document_that_is_cut_short_or_something_else_as_well_is_refused(content: bytes) -> None:
    with pytest.raises(FileUnreadable):
        documents.check(content)


def test_many_beginnings_of_streams_cost_no_more_than_the_file() -> None:
    block = zlib.compress(b"word " * 2_000)
    stream = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(block), block)
    documents.check(samples.pdf(*[stream] * 2_000))
    documents.check(samples.pdf(b"stream\n" * 200_000))
