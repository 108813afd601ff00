"""Numbers as pictures: small SVGs that suit a light and a dark page.

`drawing` holds colours and the way from a figure to an SVG, `labels` what fits of a name; `scores`, `grid`, `ranks`
and `confusion` the pictures.
Imports neither torch nor ray.
"""

from sweep.figures.confusion import confusion_matrix, difference_matrix, image_strip, shares, wall
from sweep.figures.drawing import Palette, Picture
from sweep.figures.grid import Cost, Curve, cost, heat_map, learning_curves
from sweep.figures.labels import broken
from sweep.figures.ranks import critical_difference_diagram
from sweep.figures.scores import Bar, Published, interactions, main_effects, ranking, reproduction

__all__ = [
    "Bar",
    "Cost",
    "Curve",
    "Palette",
    "Picture",
    "Published",
    "broken",
    "confusion_matrix",
    "cost",
    "critical_difference_diagram",
    "difference_matrix",
    "heat_map",
    "image_strip",
    "interactions",
    "learning_curves",
    "main_effects",
    "ranking",
    "reproduction",
    "shares",
    "wall",
]
