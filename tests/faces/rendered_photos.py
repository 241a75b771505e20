"""Photos of rendered faces for the tests of dlib's detector and landmarks."""

import numpy as np

from simswap.rendered.rendering import Attributes, Rendering, render, render_person


def frontal(size: int = 160, **attributes: float) -> Rendering:
    """One rendered face, ``size`` px square, with its true landmarks."""
    return render(render_person(1), Attributes(**attributes), size)


def on_a_canvas(rendering: Rendering, size: int, left: int, top: int) -> np.ndarray:
    """The photo at a place of a gray square, uint8 [size, size, 3]."""
    canvas = np.full((size, size, 3), 127, np.uint8)
    high, wide = rendering.image.shape[:2]
    canvas[top : top + high, left : left + wide] = rendering.image
    return canvas
