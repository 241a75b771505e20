"""Photos of rendered people: one image from a person and a photo's attributes, and the public names of this room.

Identity (`rendered.head`) and attributes are drawn independently. The projection is exact, so landmarks and attributes
are ground truth for measurements of pose and identity. ``python -m simswap.rendered.dataset`` writes contact sheets.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from simswap.rendered import paint as rendered_paint
from simswap.rendered import scene as rendered_scene
from simswap.rendered import skin as rendered_skin
from simswap.rendered import view as rendered_view
from simswap.rendered.brush import CELL, blend, cells
from simswap.rendered.head import NAMES, Identity, directions, render_person
from simswap.rendered.shape import radius, shape_of
from simswap.rendered.view import View

__all__ = ["NAMES", "Attributes", "Identity", "Rendering", "draw_attributes", "render", "render_person"]


SCALE = 0.385  # image sides per head unit: forehead to chin is 55 to 60 % of the height, as in VGGFace2's crops
CELL_LENGTH = float(np.deg2rad(CELL)) * 0.9  # side of a texture pixel at the front of the head, in head units


@dataclass(frozen=True)
class Attributes:
    """Everything in a photo but the person.

    Attributes:
        yaw: Degrees, > 0 turns the face to the image's right.
        pitch: Degrees, > 0 turns it up.
        roll: Degrees, > 0 turns it clockwise in the image.
        mouth_open: 0..1.
        smile: 0..1.
        gaze_x: Degrees relative to the head, > 0 to the image's right.
        gaze_y: Degrees relative to the head, > 0 up.
        blink: 0 (open eyes) to 1 (closed eyes).
        light_x: Direction of the light, degrees to the right of the camera.
        light_y: Direction of the light, degrees above the camera.
        light_strength: Of the directed light.
        light_fill: Of the uniform light.
        light_red: Gain of the red channel.
        light_blue: Gain of the blue channel.
        glasses: 0 or 1.
        glasses_form: 0 (thin, round) to 1 (thick, square).
        glasses_dark: 0..1.
        shift_x: Shift of the head to the right, in image sides.
        shift_y: Shift of the head downwards, in image sides.
        zoom: Scale of the head.
        scene: Seed of background, clothes and noise.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth_open: float = 0.0
    smile: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    blink: float = 0.0
    light_x: float = 20.0
    light_y: float = 30.0
    light_strength: float = 0.5
    light_fill: float = 0.6
    light_red: float = 1.0
    light_blue: float = 1.0
    glasses: int = 0
    glasses_form: float = 0.3
    glasses_dark: float = 0.8
    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.0
    scene: int = 0


@dataclass(frozen=True)
class Rendering:
    """A rendered photo.

    Attributes:
        image: uint8 RGB [S, S, 3].
        landmarks: float64 [5, 2] in px, pixel centers at integers: left eye, right eye, nose tip, left and right mouth
            corner, as seen in the image.
    """

    image: np.ndarray
    landmarks: np.ndarray


EXPOSURE = 0.86  # light skin in full light stays below white


def _within(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)


def draw_attributes(rng: np.random.Generator) -> Attributes:
    """Draw a photo: yaw within ±45, pitch ±25, roll ±20 degrees; expression, gaze, light; glasses in 25 %."""
    opened = rng.uniform() < 0.35
    strength = rng.uniform(0.2, 0.6)
    warm = rng.normal(0, 0.03)
    return Attributes(
        yaw=_within(rng.normal(0, 21), -45, 45),
        pitch=_within(rng.normal(0, 10), -25, 25),
        roll=_within(rng.normal(0, 8), -20, 20),
        mouth_open=float(rng.uniform(0.15, 1.0)) if opened else 0.0,
        smile=float(rng.uniform(0.0, 1.0) * (rng.uniform() < 0.6)),
        gaze_x=_within(rng.normal(0, 11), -25, 25),
        gaze_y=_within(rng.normal(0, 6), -14, 14),
        blink=float(rng.uniform(0.85, 1.0)) if rng.uniform() < 0.04 else float(rng.uniform(0, 0.3)),
        light_x=float(rng.uniform(-50, 50)),
        light_y=float(rng.uniform(0, 55)),
        light_strength=float(strength),
        light_fill=float(rng.uniform(0.98, 1.10) - 0.75 * strength),
        light_red=float(1 + warm),
        light_blue=float(1 - warm),
        glasses=int(rng.uniform() < 0.25),
        glasses_form=float(rng.uniform()),
        glasses_dark=float(rng.uniform(0.4, 1.0)),
        shift_x=_within(rng.normal(0, 0.02), -0.05, 0.05),
        shift_y=_within(rng.normal(0, 0.02), -0.05, 0.05),
        zoom=_within(rng.normal(1, 0.05), 0.88, 1.12),
        scene=int(rng.integers(0, 2**31)),
    )


def _unit(x_degrees: float, y_degrees: float) -> np.ndarray:
    """The direction to a light, in the camera's axes (y down)."""
    x, y = np.deg2rad([x_degrees, y_degrees])
    return np.array([np.sin(x) * np.cos(y), -np.sin(y), np.cos(x) * np.cos(y)])


def render(identity: Identity, attributes: Attributes, size: int) -> Rendering:
    """Render one photo, a pure function of its arguments.

    Args:
        identity: The person.
        attributes: Everything else.
        size: Side of the photo in px, 32 to 1024.

    Raises:
        ValueError: The size is out of range.
    """
    if not 32 <= size <= 1024:
        raise ValueError(f"size must be between 32 and 1024 pixels, not {size}")
    a, p = attributes, identity.as_dict()
    rng = np.random.default_rng([a.scene, 77])
    turn, center, scale = _placing(a, size)
    shape = shape_of(identity)
    maps = shape.maps(a.mouth_open, a.smile)
    view = rendered_view.project(maps, turn, center, scale, size)
    tint = np.array([a.light_red, 1.0, a.light_blue])
    head = _lit(view, _texture(identity, a, size), a, turn, tint)

    canvas = rendered_scene.background(rng, size)
    cloth = rng.uniform(15, 225, 3)
    gain = EXPOSURE * tint * (a.light_fill + 0.6 * a.light_strength)
    skin = rendered_skin.skin_color(identity)
    neck = 0.40 + 0.35 * (p["face_width"] - 0.62) + 0.3 * (p["skull_width"] - 0.745)
    if rendered_skin.hangs(identity):
        rendered_scene.hanging_hair(canvas, p, center, scale, turn, rendered_skin.hair_color(identity) * gain, rng)
    body = rendered_scene.body(size, center, scale, turn, skin, cloth, gain, neck)
    rendered_scene.cover(canvas, body)
    blend(canvas[:, view.box[0], view.box[1]], head, view.coverage)
    rendered_scene.cover_head(canvas, body, view)
    if a.glasses:
        frame = rng.uniform(10, 120, 3) * (1.15 - a.glasses_dark)
        rendered_scene.glasses(canvas, view, shape, p, turn, center, scale, a.glasses_form, frame)
    canvas += rendered_scene.grain(rng, size)
    shoulder = canvas * np.float32(0.45) + np.float32(
        110.0
    )  # above 200 the response is flatter, instead of a hard clip
    np.clip(canvas, 0.0, shoulder, out=canvas)
    image = cv2.merge([cv2.convertScaleAbs(plane) for plane in canvas])
    return Rendering(image, _landmarks(p, maps, a, turn, center, scale))


def _texture(identity: Identity, a: Attributes, size: int) -> np.ndarray:
    """The person's texture with the eyes and mouth of the photo."""
    glint = (1.3 * np.sin(np.deg2rad(a.light_x)), -1.0 * np.sin(np.deg2rad(a.light_y)))
    soften = 0.42 / (CELL_LENGTH * SCALE * size)  # depends on the size only, so that the person's skin is softened once
    return rendered_paint.paint(identity, a.mouth_open, a.smile, (a.gaze_x, a.gaze_y), a.blink, glint, soften)


def _lit(view: View, texture: np.ndarray, a: Attributes, turn: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """The lit head in the camera's view, planes float32 [3, h, w]."""
    lamp = _unit(a.light_x, a.light_y)
    halfway = lamp + np.array([0, 0, 1])
    light = np.stack([lamp, halfway / np.linalg.norm(halfway)]) @ turn  # [2, 3] in the head's axes
    facing, mirrored = rendered_view.shade(view, light)
    head = rendered_view.sample(texture, *cells(view.longitude, view.latitude))
    # Wrapped Lambert shading: skin scatters light beyond the terminator.
    lit = EXPOSURE * (a.light_fill + a.light_strength * np.maximum((facing + 0.25) / 1.25, 0.0))
    square = np.maximum(mirrored, 0.0) ** 2
    fourth = square * square
    head *= lit
    head += np.float32(42.0 * a.light_strength) * (fourth * fourth * fourth * fourth * square)  # the 18th power
    head *= tint.astype(np.float32)[:, None, None]
    return head


def _placing(a: Attributes, size: int) -> tuple[np.ndarray, tuple[float, float], float]:
    """The head's rotation [3, 3], its center in pixels, and pixels per head unit."""
    turn = rendered_view.rotation(a.yaw, a.pitch, a.roll)
    scale = SCALE * size * a.zoom
    pivot = scale * (turn @ np.array([0.0, 0.45, -0.1]) - np.array([0.0, 0.45, -0.1]))  # heads turn around the neck
    return turn, ((0.5 + a.shift_x) * size - 0.6 * pivot[0], (0.52 + a.shift_y) * size - 0.6 * pivot[1]), scale


def landmarks_of(identity: Identity, attributes: Attributes, size: int) -> np.ndarray:
    """The landmarks of a photo, float64 [5, 2] in px, without rendering it."""
    maps = shape_of(identity).maps(attributes.mouth_open, attributes.smile)
    return _landmarks(identity.as_dict(), maps, attributes, *_placing(attributes, size))


def _landmarks(
    p: dict[str, float], maps: np.ndarray, a: Attributes, turn: np.ndarray, center: tuple[float, float], scale: float
) -> np.ndarray:
    corner_x, corner_y = rendered_paint.mouth_corner(p, a.mouth_open, a.smile)
    eye, tip = p["eye_height"], p["eye_height"] + p["nose_length"] + 11.0
    eye_x = p["eye_distance"]
    places = np.array([(-eye_x, eye), (eye_x, eye), (0.0, tip), (-corner_x, corner_y), (corner_x, corner_y)])
    points = directions(places[:, 0], places[:, 1]) * [[radius(maps[0], x, y)] for x, y in places.tolist()]
    return (points @ turn.T)[:, :2] * scale + np.array(center)
