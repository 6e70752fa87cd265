"""Writes a drawing to a file, in the form that its ending names.

PNG is the SVG itself, rasterised: one drawing, and matplotlib with all that it brings would draw it a second time.
"""

from pathlib import Path
from xml.sax.saxutils import escape

FORMS = (".svg", ".html", ".png")


class PictureError(Exception):
    """The picture cannot be written; the text is for a person."""


def write(svg: str, file: Path, heading: str) -> None:
    """Raises PictureError."""
    try:
        if file.suffix == ".png":
            file.write_bytes(_png(svg))
        else:
            file.write_text(_page(svg, heading) if file.suffix == ".html" else svg, "utf-8")
    except OSError as error:
        raise PictureError(f"{file} cannot be written: {error}") from error


def _page(svg: str, heading: str) -> str:
    style = "body{margin:2rem auto;max-width:64rem}svg{width:100%;height:auto}"
    head = f"<meta charset='utf-8'><title>{escape(heading)}</title><style>{style}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head><body>\n{svg}</body></html>\n"


def _png(svg: str) -> bytes:
    try:
        from resvg_py import svg_to_bytes  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise PictureError("PNG needs the extra `plot`: pip install 'millgate[plot]'; SVG and HTML do not") from error
    return bytes(svg_to_bytes(svg_string=svg, zoom=2.0))
