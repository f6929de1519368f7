"""Photographs as they are kept: decoded, turned upright, and written anew without anything else.

Where a photograph was taken (GPS), with what and by whom is nobody's business here, and what hides
behind an image is not carried along: only its pixels are.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Final

from PIL import Image, ImageCms, ImageOps

from disputes import sniff
from disputes.evidence_refusals import FileUnreadable, ImageTooLarge

#: A telephone's largest photograph has fewer (8,064 × 6,048); more would fill the memory.
MOST_PIXELS: Final = 50_000_000
#: The longer side of what is kept: enough to read a label on a parcel.
LONGEST_SIDE: Final = 4_096
_QUALITY: Final = 90
#: A colour profile is read to show the same colours without it; a larger one is ignored.
_MOST_PROFILE: Final = 64 * 1024
_NAMES: Final = {sniff.JPEG: "JPEG", sniff.PNG: "PNG", sniff.WEBP: "WEBP"}
#: What the decoder raises for files that are broken or made to break it.
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


def clean(content: bytes, media_type: str) -> tuple[bytes, str]:
    """Return an image without metadata, at most :data:`LONGEST_SIDE` long, and its media type.

    A photograph becomes a JPEG; what is drawn or see-through, a PNG. The declared size is checked
    before anything is decoded.

    Raises:
        ImageTooLarge: it says that it has more than :data:`MOST_PIXELS`.
        FileUnreadable: it is broken, cut short, or not of its type.
    """
    try:
        with Image.open(io.BytesIO(content), formats=[_NAMES[media_type]]) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise _too_large(width, height)
            # A JPEG can be decoded at a half or a quarter of its size, which is much less work.
            opened.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
            opened.load()
            kept = _plain(opened)
            kept.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            kept = _upright(_in_srgb(kept))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except _BROKEN as error:
        raise FileUnreadable("This is no whole image: it is broken or cut short.") from error
    drawn = media_type == sniff.PNG or kept.mode == "RGBA"
    out = io.BytesIO()
    # Written from pixels alone: nothing of what came beside them is left to be copied.
    kept.info = {}
    if drawn:
        kept.save(out, "PNG", optimize=False)
        return out.getvalue(), sniff.PNG
    kept.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue(), sniff.JPEG


def _too_large(width: int | None = None, height: int | None = None) -> ImageTooLarge:
    said = "" if width is None else f" This one says {width} × {height}."
    return ImageTooLarge(f"An image has {MOST_PIXELS} pixels at most.{said}", most=MOST_PIXELS)


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its metadata say; metadata that cannot be read say nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image


def _plain(image: Image.Image) -> Image.Image:
    """Return the image as red, green and blue, see-through where it was."""
    target = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode.startswith("I"):  # 16 bits of grey, of which a plain conversion keeps the lowest
        return image.point(lambda value: value / 256).convert("L").convert(target)
    if image.mode != target and image.info.get("icc_profile"):
        image.info.pop("icc_profile")  # it speaks of the pixels as they were: grey, or ink
    return image if image.mode == target else image.convert(target)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return an image that shows the same colours without its profile."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > _MOST_PROFILE:
        return image
    try:
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            inPlace=True,
        )
    except (ImageCms.PyCMSError, *_BROKEN):
        pass  # a profile that cannot be read changes nothing
    return image
