"""Pages of plain text as PDF: headings, paragraphs and fine print, by the built-in fonts alone.

These fonts write what Windows-1252 has, which French and Breton need no more than. Anything else is
shown as its number, such as ``[U+0142]``: nothing is lost without being seen, and nothing that
somebody typed can stop a document or turn its direction of reading.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos

_ENCODING: Final = "cp1252"
_FONT: Final = "helvetica"
_FIXED: Final = "courier"
#: Where a line may be broken though nobody sees it.
_SOFT_HYPHEN: Final = "\u00ad"


def writable(text: str) -> str:
    """Return ``text`` with each character that the fonts do not have as its number."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(
        one if one == "\n" or _is_writable(one) else f"[U+{ord(one):04X}]" for one in lines
    )


def _is_writable(letter: str) -> bool:
    if letter == _SOFT_HYPHEN or not letter.isprintable():
        # A no-break space is not printable to Python, and French has one before a colon.
        return letter == "\u00a0"
    try:
        letter.encode(_ENCODING)
    except UnicodeEncodeError:
        return False
    return True


class Paper(FPDF):
    """A document of A4 pages, each with the same two lines at its foot.

    The same content gives the same bytes: time and id are given, never taken from the clock.
    """

    def __init__(self, title: str, language: str, id_: str, at: datetime, foot: str) -> None:
        """Begin a document.

        Args:
            id_: 64 hexadecimal digits that are this content's own.
            at: when the content was made, in UTC.
            foot: two lines for each page; ``{page}`` and ``{pages}`` stand for their numbers.
        """
        super().__init__(format="A4")
        self.core_fonts_encoding = _ENCODING
        self._id, self._foot = id_, foot
        # Nobody can write this into a text: it follows from all the texts.
        self._alias = f"[{id_[:16]}]"
        self.alias_nb_pages(self._alias)
        self.set_title(writable(title))
        self.set_lang(language)
        self.set_creation_date(at)
        self.set_margins(20, 18, 20)
        self.set_auto_page_break(auto=True, margin=24)
        self.add_page()

    def file_id(self) -> str:
        """Return the id of the file, which is that of its content."""
        return f"<{self._id[:32].upper()}><{self._id[:32].upper()}>"

    def footer(self) -> None:
        """Write the foot of a page."""
        self.set_y(-18)
        foot = self._foot.replace("{page}", str(self.page_no())).replace("{pages}", self._alias)
        self._write(foot, _FONT, "", 7.5, 4)

    def heading(self, text: str, size: float = 13) -> None:
        """Write a heading, not alone at the bottom of a page."""
        if self.will_page_break(30):
            self.add_page()
        self.ln(3)
        self._write(text, _FONT, "B", size, size / 2)
        self.ln(1)

    def paragraph(self, text: str, indent: int = 0) -> None:
        """Write a paragraph, ``indent`` levels in."""
        self._write(text, _FONT, "", 10, 5, indent)

    def strong(self, text: str) -> None:
        """Write what must not be overlooked."""
        self._write(text, _FONT, "B", 10, 5)

    def fine(self, text: str, indent: int = 0) -> None:
        """Write hashes and the like: each character in a place of its own, broken anywhere."""
        self._write(text, _FIXED, "", 7.5, 3.6, indent, WrapMode.CHAR)

    def _write(
        self,
        text: str,
        font: str,
        style: str,
        size: float,
        height: float,
        indent: int = 0,
        wrap: WrapMode = WrapMode.WORD,
    ) -> None:
        self.set_font(font, style, size)
        self.set_x(self.l_margin + 6 * min(indent, 6))
        self.multi_cell(
            0,
            height,
            writable(text),
            align="L",
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
            wrapmode=wrap,
        )
