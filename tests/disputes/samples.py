"""Files for tests, good and hostile, made here byte by byte."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any, Final

from fpdf import FPDF
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

#: What must be found nowhere in what is kept.
SECRETS: Final = (b"Exif", b"GPS", b"Pocket 9", b"me at home", b"W5M0MpCehiHzreSzNTczkc9d")


def image(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A picture whose left half is red and right half blue."""
    made = Image.new("RGB", (width, height), "red")
    made.paste("blue", (width // 2, 0, width, height))
    return made.convert(mode)


def encoded(picture: Image.Image, format_: str, **more: Any) -> bytes:
    """The bytes of a picture."""
    out = io.BytesIO()
    picture.save(out, format_, **more)
    return out.getvalue()


def located(format_: str = "JPEG", orientation: int = 1) -> bytes:
    """A photograph that says where, when and with what it was taken."""
    picture = image()
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Pocket 9"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (48.0, 6.0, 41.0),
            ExifTags.GPS.GPSLongitudeRef: "W",
            ExifTags.GPS.GPSLongitude: (1.0, 40.0, 46.0),
        }
    )
    xmp = b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x/><?xpacket end="w"?>'
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    if format_ == "JPEG":
        more |= {"xmp": xmp, "comment": "me at home"}
    elif format_ == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "me at home")
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        more |= {"pnginfo": info}
    else:
        more |= {"xmp": xmp, "lossless": True}
    return encoded(picture, format_, **more)


def exchanged_profile() -> bytes:
    """A colour profile in which red means green and green means red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    table = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    made = bytearray(profile)
    for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        made[at : at + 4] = table.get(profile[at : at + 4], profile[at : at + 4])
    return bytes(made)


def huge_png(width: int = 100_000, height: int = 100_000) -> bytes:
    """A PNG of a few hundred bytes that says it has ten thousand million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(width // 8 + 1) * 8)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def zip_bomb() -> bytes:
    """A zip archive of some kilobytes with sixteen megabytes inside."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(16 * 1024 * 1024))
    return out.getvalue()


SVG: Final = (
    b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">'
    b"<script>fetch('http://127.0.0.1/')</script></svg>"
)


def plain_pdf(words: str = "Repair: 40 euros") -> bytes:
    """A document of one page."""
    paper = FPDF()
    paper.add_page()
    paper.set_font("helvetica", size=12)
    paper.cell(text=words)
    return bytes(paper.output())


def pdf(*objects: bytes) -> bytes:
    """A document of these objects, without a table: readers rebuild it."""
    body = b"".join(
        b"%d 0 obj\n%s\nendobj\n" % (number, said) for number, said in enumerate(objects, start=1)
    )
    return b"%PDF-1.7\n" + body + b"trailer << /Root 1 0 R >>\n%%EOF\n"


def packed(said: bytes, names: bytes = b"/Type /ObjStm /N 1 /First 4", **more: bytes) -> bytes:
    """An object that holds others, packed."""
    body = more.get("body", zlib.compress(said))
    filter_ = more.get("filter", b"/FlateDecode")
    return b"<< %s /Filter %s /Length %d >>\nstream\n%s\nendstream" % (
        names,
        filter_,
        len(body),
        body,
    )
