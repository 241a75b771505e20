"""Everything in a photo but the head: background, neck and clothes, hanging hair, glasses, camera noise."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from simswap.rendered.brush import blend
from simswap.rendered.head import STYLES, directions
from simswap.rendered.shape import Shape, radius
from simswap.rendered.view import View

SLOPE = np.linspace(0, 1, 24)  # the background's ramp
ACROSS = np.linspace(-1, 1, 25)  # positions along the shoulders
GRAIN = 2.0  # standard deviation of the noise, gray levels


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A blurred background: a gradient of two colors with blobs, planes float32 RGB 0..255 [3, S, S]."""
    first, second = rng.uniform(20, 235, (2, 3)) * 0.3 + rng.uniform(20, 235, (2, 1)) * 0.7  # rarely gaudy
    ramp = np.clip(SLOPE[:, None] * rng.uniform(-1, 1) + SLOPE[None] * rng.uniform(-1, 1) + rng.uniform(0, 1), 0, 1)
    small = (first + (second - first) * ramp[..., None]).astype(np.float32)
    for _ in range(int(rng.integers(0, 7))):
        color = tuple(float(c) for c in rng.uniform(20, 235, 3) * 0.45 + rng.uniform(20, 235) * 0.55)
        x, y, r = (int(v) for v in rng.integers((0, 0, 1), (24, 24, 7)))
        if rng.uniform() < 0.5:
            cv2.circle(small, (x, y), r, color, -1)
        else:
            cv2.rectangle(small, (x, y), (x + r, y + 3 * r), color, -1)
    small = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(0.8, 2.5)))
    canvas = np.empty((3, size, size), np.float32)
    for plane, target in zip(cv2.split(small), canvas, strict=True):
        cv2.resize(plane, (size, size), target, interpolation=cv2.INTER_CUBIC)
    return canvas


@dataclass(frozen=True)
class Layer:
    """Something flat in a photo.

    Attributes:
        top: Its first row.
        share: Its opacity in the rows from there on, 0..1 [h, S].
        color: Planes that broadcast to [3, h, S].
    """

    top: int
    share: np.ndarray
    color: np.ndarray


def _polygon(corners: np.ndarray, size: int) -> tuple[int, np.ndarray]:
    """Fill a polygon [N, 2] in px; returns its first row, and the covered shares 0..1 [h, S] from there on."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    _, top, _, high = cv2.boundingRect(mask)
    return top, mask[top : top + high] * np.float32(1 / 255)


def body(
    size: int,
    center: tuple[float, float],
    scale: float,
    turn: np.ndarray,
    skin: np.ndarray,
    cloth: np.ndarray,
    light: np.ndarray,
    width: float,
) -> list[Layer]:
    """Neck and clothes, in this order.

    Args:
        size: Side of the photo in px.
        center: The head's center in px.
        scale: Pixels per head unit.
        turn: The head's rotation [3, 3].
        skin: Color of the skin, RGB [3].
        cloth: Color of the clothes, RGB [3].
        light: RGB gain [3] of the light on a surface that faces the camera.
        width: Half the neck's width in head units.
    """
    root = turn @ np.array([0.0, 0.55, -0.12])
    top = np.array(center) + scale * root[:2]
    base = np.array(center) + scale * np.array([0.25 * root[0], 1.42])
    side = scale * width
    right = np.array([top, base, base]) + side * np.array([[1, 0], [1.12, 0], [2.0, 0.5]])
    left = np.array([base, base, top]) - side * np.array([[2.0, -0.5], [1.12, 0], [1, 0]])
    neck = np.concatenate([right, left])
    x = (np.arange(size) - base[0]) / scale
    round_off = np.clip(1.0 - 0.5 * (x / (width * 1.25)) ** 2, 0.45, 1.0)  # a cylinder is darker at its sides
    below = np.clip((np.arange(size) - (center[1] + scale * 0.85)) / (0.75 * scale), 0.0, 1.0)
    shadow = 0.64 + 0.3 * below  # the chin's shadow
    gain = (skin * light * np.array([1.0, 0.95, 0.92])).astype(np.float32)  # shaded skin is redder
    top_row, share = _polygon(neck, size)
    tube = np.outer(shadow[top_row : top_row + len(share)], round_off).astype(np.float32)
    layers = [Layer(top_row, share, tube * gain[:, None, None])]
    height = base[1] + scale * (0.06 + 0.62 * np.abs(ACROSS) ** 2.4 + 0.16 * np.exp(-((ACROSS / 0.18) ** 2)))
    cloth_line = np.stack([base[0] + ACROSS * scale * 1.75, height], axis=1)
    shirt = np.concatenate([cloth_line, [[cloth_line[-1, 0], size + 9], [cloth_line[0, 0], size + 9]]])
    fall = np.clip(1.1 - 0.25 * np.abs(x) ** 1.5, 0.5, 1.1)
    fabric = np.outer(cloth * light, fall).astype(np.float32)[:, None]
    return [*layers, Layer(*_polygon(shirt, size), fabric)]


def cover(canvas: np.ndarray, layers: list[Layer]) -> None:
    """Blend layers into the canvas in place, each twice, for a harder edge."""
    for layer in layers:
        rows = slice(layer.top, layer.top + len(layer.share))
        blend(canvas[:, rows], layer.color, layer.share * (2 - layer.share))


def cover_head(canvas: np.ndarray, layers: list[Layer], view: View) -> None:
    """Blend layers into the head in place, where it is behind the neck, below the ears or at the outline."""
    rows, columns = view.box
    hidden = (view.coverage > 0) & ((view.depth < -0.02) | (view.coverage < 1)) & (view.latitude > 20)
    for layer in layers:
        top, bottom = max(rows.start, layer.top), min(rows.stop, layer.top + len(layer.share))
        if top < bottom:
            part, own = slice(top, bottom), slice(top - layer.top, bottom - layer.top)
            share = layer.share[own, columns] * hidden[top - rows.start : bottom - rows.start]
            color = layer.color[:, own if layer.color.shape[1] > 1 else slice(None), columns]
            blend(canvas[:, part, columns], color, share)


def hanging_hair(
    canvas: np.ndarray,
    values: dict[str, float],
    center: tuple[float, float],
    scale: float,
    turn: np.ndarray,
    color: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draw the hair that hangs behind the head, in place: down to the jaw for a bob, to the shoulders for long hair.

    The outline is attached to the head and turns with it.

    Args:
        canvas: Planes float32 [3, S, S].
        values: The person's parameters.
        center: The head's center in px.
        scale: Pixels per head unit.
        turn: The head's rotation [3, 3].
        color: Color of the lit hair, RGB [3].
        rng: Of the strands.
    """
    size = canvas.shape[1]
    long = STYLES[int(values["hair_style"])] == "long"
    end = (1.25 if long else 0.66) + 0.8 * values["hair_volume"]
    half = values["skull_width"] + 0.06 + 0.7 * values["hair_volume"]
    t = np.linspace(-1, 1, 15)
    flare = half * (1.06 if long else 1.0)
    wave = 0.02 * values["hair_curl"] * np.cos(t * 25)
    bottom = np.stack([flare * t, end - 0.10 * np.abs(t) ** 3 + wave], axis=1)
    top = np.stack([half * t[::-1], np.full(15, -0.3)], axis=1)
    outline = np.concatenate([bottom, top])
    points = np.column_stack([outline, np.full(len(outline), -0.25)]) @ turn.T
    top_row, share = _polygon(points[:, :2] * scale + center, size)
    strands = cv2.resize(rng.standard_normal((1, 40)).astype(np.float32), (size, 1), interpolation=cv2.INTER_CUBIC)[0]
    tone = np.outer(color * 0.72, 1 + 0.14 * strands).astype(np.float32)[:, None]
    blend(canvas[:, top_row : top_row + len(share)], tone, share)


def glasses(
    canvas: np.ndarray,
    view: View,
    shape: Shape,
    values: dict[str, float],
    turn: np.ndarray,
    center: tuple[float, float],
    scale: float,
    form: float,
    color: np.ndarray,
) -> None:
    """Draw glasses in place: two rims in front of the eyes, a bridge, and temples back to the ears.

    Lines are hidden where the head is nearer to the camera.

    Args:
        canvas: Planes float32 [3, S, S].
        view: The projected head.
        shape: The person's shape.
        values: The person's parameters.
        turn: The head's rotation [3, 3].
        center: The head's center in px.
        scale: Pixels per head unit.
        form: 0 (round, thin) to 1 (square, thick).
        color: Of the frame, RGB [3].
    """
    size = canvas.shape[1]
    lines = _glasses_lines(shape, values, form)
    mask = np.zeros((size, size), np.uint8)
    thick = max(1, round(scale * (0.015 + 0.014 * form)))
    for line in lines:
        seen = line @ turn.T
        pixel = seen[:, :2] * scale + center
        shown = seen[:, 2] > _depth_at(view, pixel) - 0.05
        fixed = np.round(pixel * 16).astype(np.int32)
        for i in np.flatnonzero(shown[1:] & shown[:-1]):
            cv2.line(mask, fixed[i].tolist(), fixed[i + 1].tolist(), 255, thick, cv2.LINE_AA, 4)
    x, y, across, down = cv2.boundingRect(mask)
    part = (slice(y, y + down), slice(x, x + across))
    blend(canvas[:, part[0], part[1]], color, mask[part] * np.float32(0.92 / 255))


def _glasses_lines(shape: Shape, values: dict[str, float], form: float) -> list[np.ndarray]:
    """Rims, temples and bridge as lines of points [n, 3] in head units."""
    eye_x, eye_y = values["eye_distance"], values["eye_height"]
    power = 2.0 + 4.0 * form
    middle = directions(np.array(eye_x), np.array(eye_y)) * radius(shape.rest[0], eye_x, eye_y)
    bridge = radius(shape.rest[0], 0.0, eye_y)
    x0, y0, z0 = float(middle[0]), float(middle[1]) + 0.03, max(float(middle[2]) + 0.10, bridge - 0.02)
    wide, high = min(0.225, x0 - 0.05), 0.17 - 0.03 * form
    t = np.linspace(0, 2 * np.pi, 33)
    ring_x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power) * wide
    ring_y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power) * high
    lines = []
    for side in (-1, 1):
        bend = z0 - 0.10 * (np.abs(x0 + ring_x) / 0.5) ** 2 * 0.6
        lines.append(np.stack([side * (x0 + ring_x), y0 + ring_y, bend], axis=1))
        temple = values["skull_width"] + 0.03
        ends = np.array(
            [
                [side * (x0 + wide), y0 - 0.05, z0 - 0.13],
                [side * temple, y0 - 0.05, 0.3],
                [side * (temple + 0.02), y0 - 0.01, -0.02],
            ]
        )
        k = np.linspace(0, 2, 17)
        lines.append(np.stack([np.interp(k, [0, 1, 2], ends[:, c]) for c in range(3)], axis=1))
    k = np.linspace(-1, 1, 7)
    lines.append(np.stack([k * (x0 - wide), y0 - 0.05 - 0.04 * (1 - k * k), z0 + 0.02 + 0 * k], axis=1))
    return lines


def _depth_at(view: View, pixels: np.ndarray) -> np.ndarray:
    """Depth of the head [N] at positions [N, 2] in px; -9, far away, where it covers less than half of the pixel."""
    rows, columns = view.box
    spots = np.round(pixels).astype(int) - (columns.start, rows.start)
    high, wide = view.depth.shape
    x, y = np.clip(spots[:, 0], 0, wide - 1), np.clip(spots[:, 1], 0, high - 1)
    on_head = (spots == np.stack([x, y], axis=1)).all(axis=1) & (view.coverage[y, x] >= 0.5)
    return np.where(on_head, view.depth[y, x], -9.0)


@lru_cache(maxsize=4)
def _grain(size: int) -> np.ndarray:
    field = np.random.default_rng(size).standard_normal((2 * size, 2 * size, 3)).astype(np.float32)
    return np.ascontiguousarray(field.transpose(2, 0, 1)) * np.float32(GRAIN)


def grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Camera noise, planes float32 [3, S, S]: a random window of a fixed field, for speed."""
    x, y = rng.integers(0, size, 2)
    return _grain(size)[:, y : y + size, x : x + size]
