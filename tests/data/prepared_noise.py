"""A prepared folder of noise, in which a crop's red channel is its row."""

import json

import cv2
import numpy as np

SIZE = 16


def write_prepared(root, persons=12, images=5, size=SIZE, template="simswap"):
    """A prepared root, as data/manifest.py describes it, of noise whose red channel is the manifest row."""
    columns = ["path", "person", "source", "status", "detail", "view", "score"]
    columns += [f"{axis}{point}" for point in range(1, 6) for axis in "xy"]
    lines, noise = [",".join(columns)], np.random.default_rng(0)
    for row in range(persons * images):
        person, name = f"n{row // images:03d}", f"{row % images:04d}"
        (root / "crops" / person).mkdir(parents=True, exist_ok=True)
        image = noise.integers(0, 256, (size, size, 3)).astype(np.uint8)
        image[..., 2] = row  # OpenCV writes BGR
        cv2.imwrite(str(root / "crops" / person / f"{name}.png"), image)
        landmarks = ",".join(["10.0"] * 10)
        lines.append(f"crops/{person}/{name}.png,{person},{person}/{name}.jpg,ok,,{row % 5},0.9,{landmarks}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "prepare.json").write_text(json.dumps({"settings": {"template": template, "size": size}}), encoding="utf-8")
    return root
