"""Running Graphviz: DOT source in; SVG, PNG or a vector PDF out.

The system's `dot` is preferred; without one, `graphviz-pure` from PyPI draws (the same layout
engine, no system package). That one writes no PDF, so PDF is drawn by matplotlib from the laid-out
graph, which both programs give as JSON.
"""

from __future__ import annotations

import functools
import html
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from files.io import InputError

FONT = "Helvetica"  # the layout's metrics; the pictures fall back to what looks alike
SVG_FONTS = "Helvetica,Arial,'Liberation Sans',sans-serif"
PDF_FONTS = {"Helvetica": 1.0, "Arial": 1.0, "Liberation Sans": 1.0, "Arimo": 1.0, "DejaVu Sans": 0.88}  # relative size
MARGIN = 4.0  # points around a PDF's graph: a node's outline lies half outside it
INSTALL = "run `pip install graphviz-pure`, or install Graphviz (on Debian `apt-get install graphviz`)"


def find_dot() -> str:
    """The path of the `dot` program, else of `graphviz-pure`. Raises InputError when there is neither."""
    beside_python = str(Path(sys.executable).parent)  # a virtual environment that is not activated
    found = shutil.which("dot") or shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=beside_python)
    if found is None:
        raise InputError(f"no program to draw graphs with: {INSTALL}")
    return found


def run_dot(source: str, form: str, placed: bool = False, dpi: int | None = None) -> bytes:
    """Lay out DOT `source` and return it as `form` ("svg", "png", "json").

    placed: nodes and edges have their positions already (`graph_packing.packed`). dpi: pixels an inch of a PNG.
    """
    command = [find_dot(), *(["-Kneato", "-n2"] if placed else ["-Kdot"]), f"-T{form}"] + (
        [f"-Gdpi={dpi}"] if dpi else []
    )
    result = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if result.returncode != 0 or not result.stdout:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise InputError(f"{command[0]}: could not draw the graph ({lines[-1]}); {INSTALL}")
    return result.stdout


def to_svg(source: str, titles: dict[str, str] | None = None, placed: bool = False) -> tuple[str, float, float]:
    """Lay out DOT `source` as an `<svg>` element: (markup without prolog, width, height in points).

    titles: DOT node name -> what is shown on hovering and read by a screen reader, instead of that name.
    """
    markup = run_dot(source, "svg", placed).decode()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<!--.*?-->\n?", "", markup, flags=re.DOTALL)
    markup = re.sub(f'font-family="{FONT}[^"]*"', f'font-family="{SVG_FONTS}"', markup)
    titles = titles or {}

    def title(match: re.Match[str]) -> str:
        text = titles.get(html.unescape(match[1]))
        return f"<title>{escape_xml(text)}</title>" if text else ""

    markup = re.sub(r"<title>(.*?)</title>\n?", title, markup, flags=re.DOTALL)
    size = re.search(r'viewBox="\s*[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', markup)
    assert size is not None, "dot writes a viewBox"
    return markup.strip(), float(size[1]), float(size[2])


def escape_xml(text: str) -> str:
    """Text for element content or a quoted attribute."""
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(plain, escaped)
    return text


class PdfDrawing:
    """A laid-out graph, ready to be drawn on a matplotlib figure. `.width`, `.height` in points."""

    def __init__(self, source: str, placed: bool = False) -> None:
        self.layout = json.loads(run_dot(source, "json", placed), strict=False)
        width, height = (float(v) for v in self.layout["bb"].split(",")[2:])
        self.width, self.height = width + 2 * MARGIN, height + 2 * MARGIN

    def draw(self, axes: Any) -> None:
        """Draw on matplotlib `axes`, whose data unit becomes one point."""
        axes.set(xlim=(-MARGIN, self.width - MARGIN), ylim=(-MARGIN, self.height - MARGIN))
        axes.set_axis_off()
        parts = [self.layout, *self.layout.get("edges", []), *self.layout.get("objects", [])]
        for part in parts:
            for key in ("_draw_", "_hdraw_", "_tdraw_", "_ldraw_"):
                _draw_operations(axes, part.get(key, []))

    def bytes(self) -> bytes:
        """The graph alone, as the bytes of a PDF."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width / 72, self.height / 72))
        self.draw(figure.add_axes((0, 0, 1, 1)))
        return pdf_bytes(figure)


def pdf_bytes(figure: Any) -> bytes:
    """A matplotlib figure as PDF with its text kept as text."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


@functools.cache
def _pdf_font() -> tuple[str, float]:
    """The first of PDF_FONTS that this machine has (matplotlib brings the last), and how much to scale it."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return next(item for item in PDF_FONTS.items() if item[0] in installed or item[0] == "DejaVu Sans")


def _draw_operations(axes: Any, operations: list[dict[str, Any]]) -> None:
    """Graphviz's drawing operations (its documented `xdot` format, as JSON) with matplotlib's patches."""
    from matplotlib.patches import Ellipse, PathPatch, Polygon
    from matplotlib.path import Path as Curve

    family, scale = _pdf_font()
    pen, fill, style, width, size, bold = "#000000", "#000000", "-", 1.0, 14.0, False
    for operation in operations:
        op = operation["op"]
        if op == "c":
            pen = operation["color"]
        elif op == "C":
            fill = operation["color"]
        elif op == "F":
            size = operation["size"]
        elif op == "t":
            bold = bool(operation["fontchar"] & 1)
        elif op == "S":
            if operation["style"].startswith("setlinewidth"):
                width = float(operation["style"][13:-1])
            else:
                style = {"dashed": "--", "dotted": ":"}.get(operation["style"], "-")
        elif op == "T":
            align = {"l": "left", "c": "center", "r": "right"}[operation["align"]]
            axes.text(
                *operation["pt"],
                operation["text"],
                ha=align,
                color=pen,
                fontsize=size * scale,
                family=[family, "DejaVu Sans"],
                weight="bold" if bold else "normal",
                parse_math=False,
            )
        else:
            look = {"edgecolor": pen, "linewidth": width, "linestyle": style, "clip_on": False}
            look |= {"facecolor": fill} if op in "EPB" else {"fill": False}
            if op in "eE":
                x, y, rx, ry = operation["rect"]
                axes.add_patch(Ellipse((x, y), 2 * rx, 2 * ry, **look))
            elif op in "pP":
                axes.add_patch(Polygon(operation["points"], **look))
            elif op in "bB":
                points = operation["points"]
                axes.add_patch(PathPatch(Curve(points, [Curve.MOVETO] + [Curve.CURVE4] * (len(points) - 1)), **look))
