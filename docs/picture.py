"""An SVG of boxes, arrows and texts that can be read in light and dark, on a telephone, too.

It is narrow, and has a ground of its own: a reader's dark mode and that of the page around it need not be the same.
"""

import re
from html import escape

WIDTH = 480
LEFT, RIGHT = 20, WIDTH - 20
LINE_HEIGHT = 17
# Per class of shapes: fill and line in light, then in dark.
SHAPES = {
    "ground": ("#ffffff", "#d0d7de", "#0d1117", "#30363d"),
    "data": ("#f3f5f7", "#8c959f", "#1c2129", "#768390"),
    "learned": ("#ddeeff", "#0a62c4", "#12304f", "#5aa7ff"),
    "rule": ("#fff3c4", "#946200", "#3a2f0b", "#d6a336"),
    "result": ("#d8f5df", "#1a7f37", "#12381f", "#46c25c"),
    "padding": ("#ffffff", "#a3abb5", "#0d1117", "#5b6470"),
}
TEXTS = {"text": ("#1f2328", "#e6edf3"), "soft": ("#57606a", "#a5afba")}  # fill in light, then in dark
LINE = ("#57606a", "#9aa4af")


def style() -> str:
    def rules(light: bool) -> list[str]:
        mode = 0 if light else 1
        shapes = [
            f".{name} {{ fill: {colours[2 * mode]}; stroke: {colours[2 * mode + 1]}; }}"
            for name, colours in SHAPES.items()
        ]
        texts = [f".{name} {{ fill: {colours[mode]}; }}" for name, colours in TEXTS.items()]
        return [*shapes, *texts, f".line {{ stroke: {LINE[mode]}; }}", f".head {{ fill: {LINE[mode]}; }}"]

    return "\n".join(
        [
            "text { font: 15px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }",
            "text.small, .sub { font-size: 13px; }",
            "text.bold { font-weight: 600; }",
            "text.math { font: italic 17px Georgia, 'DejaVu Serif', serif; }",
            ".line { fill: none; stroke-width: 1.5; }",
            ".padding, .off { stroke-dasharray: 4 3; }",
            *rules(light=True),
            "@media (prefers-color-scheme: dark) {",
            *(f"  {rule}" for rule in rules(light=False)),
            "}",
        ]
    )


class Picture:
    """An SVG under way: shapes and texts in the order in which they are drawn; lengths in pixels, y downwards."""

    def __init__(self, title: str, description: str) -> None:
        self.title, self.description = title, description
        self.elements: list[str] = []

    def text(self, x: float, y: float, text: str, kind: str = "text", *, anchor: str = "middle") -> None:
        """One line around the height `y`; `_{...}` sets a subscript. Kinds: text, soft, with small, bold, math."""
        size = 13 if "small" in kind else 15
        parts = re.split(r"_\{(.+?)\}", escape(text, quote=False))
        for number in range(1, len(parts)):
            attributes = 'class="sub" dy="4"' if number % 2 else 'dy="-4"'
            parts[number] = f"<tspan {attributes}>{parts[number]}</tspan>" if parts[number] else ""
        content = "".join(parts)
        self.elements.append(
            f'<text class="{kind}" x="{x:g}" y="{y + size * 0.35:g}" text-anchor="{anchor}">{content}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str, text: str = "text") -> None:
        self.elements.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>')
        for number, line in enumerate(lines):
            offset = (number - (len(lines) - 1) / 2) * LINE_HEIGHT
            self.text(x + width / 2, y + height / 2 + offset, line, text)

    def sign(self, x: float, y: float, sign: str) -> None:
        """An operation, element by element, in a circle of radius 12."""
        self.elements.append(f'<circle class="rule" cx="{x:g}" cy="{y:g}" r="12"/>')
        self.text(x, y, sign)

    def arrow(self, *points: tuple[float, float], head: bool = True, off: bool = False) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        marker = ' marker-end="url(#head)"' if head else ""
        self.elements.append(f'<polyline class="line{" off" if off else ""}" points="{path}"{marker}/>')

    def legend(self, y: float, **meanings: str) -> None:
        """Kinds of shapes and what they mean, in one line."""
        x = LEFT
        for kind, meaning in meanings.items():
            self.box(x, y - 7, 14, 14, kind)
            self.text(x + 20, y, meaning, "soft small", anchor="start")
            x += 40 + round(6.8 * len(meaning))

    def svg(self, height: float) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
                f'height="{height:g}" role="img" aria-labelledby="title description">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="description">{escape(self.description)}</desc>',
                f"<style>\n{style()}\n</style>",
                '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0,0.5 L8,4 L0,7.5 Z"/></marker>',
                f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>',
                *self.elements,
                "</svg>\n",
            ]
        )
