"""The palette of all pictures and figures; it needs neither plotly nor matplotlib.

The colours are safe for the colour-blind and have a contrast of at least 3:1 on white and on nearly black pages.
"""

BLUE, GREY, PINK, ORANGE = "#2a7fbf", "#8c8c8c", "#b5539c", "#d55e00"
OCHRE = "#c4820e"
TEXT = "#7d7d7d"  # readable on both kinds of pages
BLACK, LINE, GRID = "#222222", "#555555", "#dddddd"  # on white only
SCALE = "Cividis"  # a scale by plotly's name; matplotlib's is in lower case
DOTS_PER_INCH = 110  # of a trial's pictures
