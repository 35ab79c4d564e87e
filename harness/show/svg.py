"""The SVG of a figure: the same bytes on every machine, a title for each mark, and colours for two themes.

A notebook shows the SVG as an image with the light colours. If the notebook is trusted, a script puts the SVG itself
in the place of the image, in a shadow root, where its identifiers don't conflict with those of another figure. After
that, the figure has dark colours in a dark theme, and a mark shows its title when the mouse is over it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape

PAPER, BAND, GRID = "#fdfcf8", "#f4f1e7", "#dedacb"  # opaque, so that dark text is readable in a dark theme
INK, FAINT = "#222222", "#6c6c66"
GREEN, SKY, BLUE = "#00875f", "#2f8fc9", "#005a94"
RED, PURPLE, AMBER = "#d55e00", "#b4608f", "#a87400"
BLACK = "#000000"  # text on red, purple and amber, in both themes
DARK = {
    **{PAPER: "#1b1d20", BAND: "#26292d", GRID: "#3d4147", INK: "#e8e6df", FAINT: "#a8a8a2"},
    **{GREEN: "#1fb389", SKY: "#7cc7f2", BLUE: "#2b8fd0", RED: "#f0803c", PURPLE: "#d98fb8", AMBER: "#e69f00"},
}
_COORDINATES = re.compile(r' (?:d|x|y|points|transform)="[^"]*"')
_NUMBER = re.compile(r"(scale\([^)]*\))|-?\d+\.\d{3,}")
_IDENTIFIER = re.compile(r'(?<=id=")[a-zA-Z][0-9a-f]{10}(?=")')
_COLOUR = re.compile(r"""(?<=: )#[0-9a-f]{6}|(?<=fill=")#[0-9a-f]{6}""")
_STYLE = f"[id^=text_]{{pointer-events:none}}.dark{{{';'.join(f'--{a[1:]}:{b}' for a, b in DARK.items())}}}"
_SCRIPT = """(script => {
const image = script.previousElementSibling, host = document.createElement("div"), theme = document.body.dataset;
const bytes = Uint8Array.from(atob(image.src.split(",")[1]), letter => letter.charCodeAt());
const svg = new DOMParser().parseFromString(new TextDecoder().decode(bytes), "image/svg+xml").documentElement;
const figure = new WeakRef(svg), watch = new MutationObserver(paint);
function paint() {
  const dark = theme.jpThemeLight === "false" || /dark/.test(theme.vscodeThemeKind);
  figure.deref() ? figure.deref().classList.toggle("dark", dark) : watch.disconnect();
}
svg.style.maxWidth = "100%";
svg.style.height = "auto";
svg.setAttribute("part", "figure");
svg.setAttribute("preserveAspectRatio", "xMinYMid");
host.setAttribute("role", "img");
host.setAttribute("aria-label", image.alt);
host.attachShadow({mode: "open"}).append(svg);
paint();
watch.observe(document.body, {attributes: true});
image.replaceWith(host);
})(document.currentScript)"""


def normalize(svg: str) -> str:
    """Return an SVG with rounded coordinates and numbered identifiers, which are hashes of the coordinates.

    The last bits of a float differ from processor to processor. The scale of a glyph is too small to be rounded.
    """
    svg = _COORDINATES.sub(lambda attribute: _NUMBER.sub(_round, attribute.group()), svg)
    for number, name in enumerate(dict.fromkeys(_IDENTIFIER.findall(svg))):
        svg = svg.replace(name, f"i{number}")
    return svg


def _round(number: re.Match[str]) -> str:
    return number[1] or f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def add_titles(svg: str, titles: Mapping[str, str]) -> str:
    """Return an SVG whose groups with these identifiers have these titles."""
    return re.sub(
        r'<g id="(mark\d+)">', lambda group: f"{group[0]}<title>{escape(titles[group[1]], quote=False)}</title>", svg
    )


def embed(svg: str, alt: str) -> str:
    """Return HTML that shows an SVG with its alt text, in the colours of the notebook's theme if scripts may run."""
    themed = _COLOUR.sub(_variable, svg).replace("</style>", f"{_STYLE}</style>", 1)
    data = b64encode(themed.encode("utf-8")).decode("ascii")
    image = f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/svg+xml;base64,{data}">'
    return f'<figure style="margin:0">{image}<script>{_SCRIPT}</script></figure>'


def _variable(colour: re.Match[str]) -> str:
    """Return a colour as a CSS variable that only a dark theme defines."""
    return f"var(--{colour[0][1:]}, {colour[0]})" if colour[0] in DARK else colour[0]
