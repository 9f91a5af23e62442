"""Running Graphviz: DOT source in; SVG, PNG, PDF or the layout as JSON out.

The system's `dot` is preferred; without one, `graphviz-pure` from PyPI draws (the same layout
engine, no system package). That one writes no PDF.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

from files.io import InputError

FONT = "Helvetica"  # the layout's metrics; the pictures fall back to what looks alike
SVG_FONTS = "Helvetica,Arial,'Liberation Sans',Arimo,'DejaVu Sans Condensed',sans-serif"  # of nearly the same width
INSTALL = "run `pip install graphviz-pure`, or install Graphviz (on Debian `apt-get install graphviz`)"
LONGEST_RUN = 60  # seconds
# What the fonts inside graphviz-pure do not have, about: all beyond Latin, Greek, Cyrillic and punctuation
FOREIGN = re.compile("[^\u0000-\u052f\u1e00-\u206f\u20a0-\u20bf\u2190-\u21ff√×○]")
# A piece of a label in an SVG: its attributes before x, x, y, its attributes after y, its text.
PIECE = r'<text ([^>]*)x="([-\d.]+)" y="([-\d.]+)"([^>]*)>([^<]*)</text>\n?'
LABEL = re.compile(f"(?:{PIECE.replace('(', '(?:')})+")


def find_dot() -> str:
    """The path of the `dot` program, else of `graphviz-pure`. Raises InputError when there is neither."""
    beside_python = str(Path(sys.executable).parent)  # a virtual environment that is not activated
    found = shutil.which("dot") or shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=beside_python)
    if found is None:
        raise InputError(f"no program to draw graphs with: {INSTALL}")
    return found


def uses_pure_graphviz() -> bool:
    """Whether graphviz-pure draws, because Graphviz itself is not installed."""
    return Path(find_dot()).stem == "graphviz-pure"


def run_dot(source: str, form: str, placed: bool = False, *options: str) -> bytes:
    """Lay out DOT `source` and return it as `form` ("svg", "png", "pdf", "json").

    placed: nodes and edges have their positions already (`packing.with_positions`). options: more of dot's own, such
    as "-Gdpi=144". Raises InputError when there is no program, it refuses, or it takes more than a minute.
    """
    program = find_dot()
    if form == "pdf" and uses_pure_graphviz():
        raise InputError("PDF needs Graphviz itself (on Debian `apt-get install graphviz`); .svg needs no installation")
    command = [program, *(["-Kneato", "-n2"] if placed else ["-Kdot"]), f"-T{form}", *options]
    try:
        result = subprocess.run(command, input=source.encode(), capture_output=True, check=False, timeout=LONGEST_RUN)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"laying out the graph takes more than {LONGEST_RUN} s; draw less of it (--max_relationships, --min_score)"
        ) from None
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
    # some versions of dot leave this out, and the spaces around a number or a score are lost
    markup = re.sub(r"<text (?![^>]*xml:space)", '<text xml:space="preserve" ', markup)
    markup = LABEL.sub(lambda match: _side_by_side(match[0]), markup)
    titles = titles or {}

    def title(match: re.Match[str]) -> str:
        text = titles.get(html.unescape(match[1]))
        return f"<title>{html.escape(text)}</title>" if text else ""

    markup = re.sub(r"<title>(.*?)</title>\n?", title, markup, flags=re.DOTALL)
    size = re.search(r'viewBox="\s*[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', markup)
    assert size is not None, "dot writes a viewBox"
    return markup.strip(), float(size[1]), float(size[2])


def _side_by_side(label: str) -> str:
    """Number, name and score of a label, kept from running into each other where fonts are wider than dot's.

    Each is as long as dot laid it out; where dot does not know the letters, the next one follows wherever it ends. A
    space stands between pieces of one label, and none between those of the legend, which are apart.
    """
    pieces = re.findall(PIECE, label)
    foreign = any(FOREIGN.search(html.unescape(text)) for *_, text in pieces)
    lines = []
    for i, (before, x, y, after, text) in enumerate(pieces):
        follows = i > 0 and _beside(pieces[i - 1], pieces[i])
        ahead = float(pieces[i + 1][1]) - float(x) if i + 1 < len(pieces) and _beside(pieces[i], pieces[i + 1]) else 0
        if foreign and follows:
            lines[-1] = lines[-1].removesuffix("</text>") + f"<tspan{after}>{text}</tspan></text>"
        elif not foreign and ahead > 0:
            length = f' textLength="{ahead:.2f}" lengthAdjust="spacingAndGlyphs"'
            lines.append(f'<text {before}x="{x}" y="{y}"{after}{length}>{text}</text>')
        else:
            lines.append(f'<text {before}x="{x}" y="{y}"{after}>{text}</text>')
    return "\n".join(lines) + "\n"


def _beside(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two pieces (see PIECE) are on one line of one label."""
    return one[2] == other[2] and (one[4].endswith(" ") or other[4].startswith(" "))
