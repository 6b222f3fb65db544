"""The colours of figures can be told from light and from dark pages."""

import numpy as np
import pytest

from study.figures.style import BEST, COLOURS, QUARTERS


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
@pytest.mark.parametrize("colour", sorted({*COLOURS.values(), BEST, *QUARTERS}))
def test_colours_stand_out_on_light_and_on_dark_pages(colour: str, page: str) -> None:
    """The contrast is at least 3:1, as WCAG 2.2 requires for graphics (1.4.11)."""
    lights = sorted(_luminance(one) for one in (colour, page))
    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 3


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
