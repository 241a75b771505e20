"""dlib's detector, 68-point pose and expression error, measured on rendered faces' truth and on photographs.

python benchmarks/dlib_faces.py [--lfw <folder with images/ and loose_landmark.csv>] [--pack <insightface pack>] \
    [--large <folder of photos>]

Without ``--lfw``, ``--pack`` and ``--large`` their lines are left out. Times are CPU seconds of one thread.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from simswap.data.landmarks import LandmarkTable
from simswap.data.reading import read_image
from simswap.faces.alignment import align, apply, warp
from simswap.faces.detection import InsightFaceDetector, pick_main_face
from simswap.faces.dlib_detector import DlibDetector
from simswap.faces.mean_shape import mean_head
from simswap.metrics.expression_error import expression
from simswap.models import dlib_pose
from simswap.models.dlib_pose import Dlib68Pose
from simswap.models.pose import PnPPose, PoseEstimator, solve_pose
from simswap.rendered.dataset import person_seed
from simswap.rendered.rendering import Attributes, draw_attributes, render, render_person

SIZE = 112
MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
    ]
)
SIGNS = np.array([-1.0, 1.0, -1.0])  # of a mirrored pose
POINT_SETS = {"all 68": slice(0, 68), "51 without the jaw": slice(17, 68), "21 of nose and eyes": slice(27, 48)}


def crop_of(person: int, a: Attributes) -> tuple[np.ndarray, np.ndarray]:
    """A rendered face as an arcface crop, and its true pose [3] in the crop."""
    photo = render(render_person(person_seed(11, person)), a, 160)
    matrix = align(photo.landmarks, "arcface", SIZE).matrix
    turned = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return warp(photo.image, matrix, SIZE), np.array([a.yaw, a.pitch, a.roll + turned])


def read(estimator: PoseEstimator, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Poses [N, 3], points [N, P, 2] and CPU milliseconds a crop."""
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    begun = time.process_time()
    poses, points = estimator.pose_and_points(images, "arcface", torch.zeros(len(crops), dtype=torch.int64))
    spent = (time.process_time() - begun) / len(crops) * 1000
    assert points is not None
    return poses.double().numpy(), points.double().numpy(), spent


def mirrored(crops: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The crops' mirror images."""
    return [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]


def lfw_faces(root: Path, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos of different persons and the table's five points."""
    table, found = LandmarkTable([root / "loose_landmark.csv"]), []
    folders = np.random.default_rng(0).permutation(sorted((root / "images").iterdir()))
    for folder in folders[:count]:
        photo = sorted(folder.iterdir())[0]
        points = table.find(f"{folder.name}/{photo.stem}", photo.suffix)
        if points is not None:
            found.append((read_image(photo), points))
    return found


def detection(faces: list[tuple[np.ndarray, np.ndarray]], pack: str | None) -> None:
    """Photos with a face, distance of the five points from the table's, and time a photo."""
    print(f"\ndetector on {len(faces)} photos: found %, points' distance (median, 95 %) in px at 112, ms a photo")
    detectors = {f"dlib, upsample={n}": DlibDetector(upsample=n) for n in (0, 1, 2)}
    for name, one in {**detectors, **({"SCRFD": InsightFaceDetector(pack)} if pack else {})}.items():
        errors, begun, spent = [], 0.0, 0.0
        for image, true in faces:
            begun = time.process_time()
            found = one.detect(image)
            spent += time.process_time() - begun
            if found:
                matrix = align(true, "arcface", SIZE).matrix
                moved = apply(matrix, pick_main_face(found, image.shape).landmarks) - apply(matrix, true)
                errors.append(np.linalg.norm(moved, axis=1))
        share, ms = 100 * len(errors) / len(faces), 1000 * spent / len(faces)
        print(f"  {name:18s} {share:5.1f}  {np.median(errors):.2f} {np.quantile(errors, 0.95):.2f}  {ms:.1f}")


def large_photos(folder: Path, pack: str | None) -> None:
    """Faces found in photos of any size, and time a photo."""
    photos = [read_image(file) for file in sorted(folder.iterdir()) if file.suffix.lower() in (".jpg", ".png")]
    sizes = [photo.shape[0] * photo.shape[1] / 1e6 for photo in photos]
    print(f"\n{len(photos)} photos of {min(sizes):.1f} to {max(sizes):.1f} megapixels: faces found, ms a photo")
    detectors = {f"dlib, upsample={n}": DlibDetector(upsample=n) for n in (0, 1, 2)}
    detectors["dlib, size=1000"] = DlibDetector(size=1000)
    detectors["dlib CNN, upsample=0"] = DlibDetector("cnn", upsample=0)
    for name, one in {**({"SCRFD": InsightFaceDetector(pack)} if pack else {}), **detectors}.items():
        begun = time.process_time()
        faces = sum(len(one.detect(photo)) for photo in photos)
        print(f"  {name:20s} {faces:3d}  {1000 * (time.process_time() - begun) / len(photos):.0f}", flush=True)


def pose(crops: list[np.ndarray], pack: str | None, persons: int) -> None:
    """Errors on rendered truth, pairs of equal pose, and photos beside their mirror images."""
    draw = np.random.default_rng(3)
    attributes = [draw_attributes(draw) for _ in range(persons)]
    # The same photo of another person; light and expression are those of the first.
    rendered = [crop_of(person, a) for person, a in enumerate(attributes)]
    others = [crop_of(person + persons, a) for person, a in enumerate(attributes)]
    true, true_others = (np.stack([pose for _, pose in each]) for each in (rendered, others))
    print(
        f"\npose on {persons} rendered pairs of equal pose and on {len(crops)} photographs, degrees (L2 unless named)"
    )
    for name, one in {"dlib68": Dlib68Pose(), **({"pnp": PnPPose(pack)} if pack else {})}.items():
        first, points, ms = read(one, [crop for crop, _ in rendered])
        second, _, _ = read(one, [crop for crop, _ in others])
        print(f" {name}: {ms:.1f} ms a crop")
        print(f"  between two persons of equal pose {mean_norm((first - true) - (second - true_others)):.2f}")
        _on_truth("as used", first, true)
        real, shot, _ = read(one, crops) if crops else (first[:0], points[:0], 0.0)
        back, shot_back, _ = read(one, mirrored(crops)) if crops else (first[:0], points[:0], 0.0)
        if crops:
            print(
                f"  photographs: missed {np.isnan(real).any(1).sum()}; photo and mirror image differ by "
                f"{mean_norm(back * SIGNS - real):.2f}; strangers by {mean_norm(real - np.roll(real, 1, 0)):.1f}"
            )
        for label, chosen in POINT_SETS.items() if name == "dlib68" else ():
            by = [np.array([solve_pose(p[chosen], SIZE, mean_head()[chosen]) for p in s])
                  for s in (points, shot, shot_back)]  # fmt: skip
            _on_truth(label, by[0], true)
            if crops:
                print(f"    photo and mirror image {mean_norm(by[2] * SIGNS - by[1]):.2f}")


def _on_truth(label: str, found: np.ndarray, true: np.ndarray) -> None:
    wrong = found - true
    offset = np.nanmean(wrong, axis=0)
    known = ~np.isnan(found).any(axis=1)
    slope = [np.polyfit(true[known, axis], found[known, axis], 1)[0] for axis in (0, 1)]
    print(
        f"  rendered truth, {label}: missed {(~known).sum()}; offset yaw, pitch, roll {np.round(offset, 1)}; without "
        f"it L2 {mean_norm(wrong - offset):.2f}; share of a turn seen: yaw {slope[0]:.2f}, pitch {slope[1]:.2f}"
    )


def mean_norm(values: np.ndarray) -> float:
    """The mean length of rows, NaNs left out."""
    return float(np.nanmean(np.linalg.norm(values, axis=1)))


def moved_faces(crops: list[np.ndarray]) -> None:
    """How well the points follow a face that is moved in its crop, with one pass and with two."""
    print("\npoints' error in px after moving the face of a photograph in its crop: 1, 2, 3 passes")
    estimator, kept = Dlib68Pose(), dlib_pose.PASSES
    turn = cv2.getRotationMatrix2D
    moves = {"shift by 12 px": np.array([[1.0, 0, 12], [0, 1, 0]]), "roll by 15 degrees": turn((55.5, 65), -15, 1.0),
             "scale 0.8": turn((55.5, 65), 0, 0.8), "scale 1.15": turn((55.5, 65), 0, 1.15)}  # fmt: skip
    for name, matrix in moves.items():
        shown = [cv2.warpAffine(crop, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE) for crop in crops]
        errors = []
        for dlib_pose.PASSES in (1, 2, 3):
            expected = read(estimator, crops)[1] @ matrix[:, :2].T + matrix[:, 2]
            errors.append(np.nanmean(np.linalg.norm(read(estimator, shown)[1] - expected, axis=2)[:, 17:]))
        print(f"  {name:20s}", " ".join(f"{error:.2f}" for error in errors))
    dlib_pose.PASSES = kept


def expressions(crops: list[np.ndarray], persons: int) -> None:
    """The expression error of rendered pairs that differ in one thing, and of photographs."""
    draw, shown = np.random.default_rng(5), {}
    for person in range(persons):
        a, other = (draw_attributes(draw) for _ in range(2))
        a = replace(a, glasses=0, blink=0.0, yaw=np.clip(a.yaw, -25, 25), pitch=np.clip(a.pitch, -12, 12))
        changed = replace(a, mouth_open=draw.uniform() * (draw.uniform() < 0.6),
                          smile=draw.uniform() * (draw.uniform() < 0.6), blink=float(draw.uniform() < 0.3))  # fmt: skip
        turned = replace(a, yaw=np.clip(other.yaw, -25, 25), pitch=np.clip(other.pitch, -12, 12), roll=other.roll)
        lit = replace(a, scene=a.scene + 1, light_x=other.light_x, light_y=other.light_y)
        size = np.linalg.norm([a.mouth_open - changed.mouth_open, a.smile - changed.smile, changed.blink])
        pairs = {"do nothing": (person, a), "other light": (person, lit), "other pose": (person, turned),
                 "other expression": (person, changed), "other person": (person + persons, a),
                 "copy source (all of it)": (person + persons, other)}  # fmt: skip
        for name, (who, what) in pairs.items():
            if name != "other expression" or size > 0.3:
                shown.setdefault(name, []).append((crop_of(who, what)[0], crop_of(person, a)[0]))
    estimator: PoseEstimator = Dlib68Pose()
    print("\nexpression error of rendered pairs (and their landmark error), eye distances")
    found: dict[str, np.ndarray] = {}
    for name, pairs in shown.items():
        result, target = (read(estimator, [pair[place] for pair in pairs])[1] for place in (0, 1))
        found[name] = _expression(result, target)
        print(f"  {name:24s} {np.nanmean(found[name]):.3f} ({np.nanmean(_landmarks(result, target)):.3f})")
    larger = (found["other expression"][:, None] > found["other pose"][None]).mean()
    print(f"  another expression gives more than another pose in {100 * larger:.0f} % of cases")
    if crops:
        _, points, _ = read(estimator, crops)
        back = (np.array([SIZE - 1, 0]) + points * np.array([-1, 1]))[:, MIRROR]  # the same expression, turned around
        strangers = np.roll(points, 1, 0)
        print(f"{len(crops)} photographs: do nothing 0; the mirrored points (same expression, opposite pose) "
              f"{np.nanmean(_expression(back, points)):.3f} ({np.nanmean(_landmarks(back, points)):.3f}); strangers "
              f"(copy source) {np.nanmean(_expression(strangers, points)):.3f} "
              f"({np.nanmean(_landmarks(strangers, points)):.3f})")  # fmt: skip
        smile = _smile(points)
        for label, value in (("mouth width", smile[:, 0]), ("mouth opening", smile[:, 1]), ("yaw", smile[:, 2])):
            change = np.abs(value - np.roll(value, 1))
            print(f"  strangers: correlation with the difference of {label}: "
                  f"{np.corrcoef(change, _expression(strangers, points))[0, 1]:.2f}")  # fmt: skip


def _smile(points: np.ndarray) -> np.ndarray:
    """Mouth width and opening in eye distances, and yaw in degrees, of points [N, 68, 2]."""
    eyes = np.linalg.norm(points[:, 36:42].mean(1) - points[:, 42:48].mean(1), axis=1)
    wide, opened = (np.linalg.norm(points[:, i] - points[:, j], axis=1) / eyes for i, j in ((48, 54), (62, 66)))
    yaw = [solve_pose(each[27:48], SIZE, mean_head()[27:48])[0] for each in points]
    return np.stack([wide, opened, yaw], axis=1)


def _expression(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    moved = expression(torch.from_numpy(first)) - expression(torch.from_numpy(second))
    return moved.norm(dim=2).mean(1).numpy()


def _landmarks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    eyes = np.linalg.norm(second[:, 36:42].mean(1) - second[:, 42:48].mean(1), axis=1)
    return np.linalg.norm(first - second, axis=2).mean(1) / eyes


def main(work: Callable[[], argparse.Namespace]) -> None:
    """Print all tables."""
    options = work()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    faces = lfw_faces(Path(options.lfw), options.photos) if options.lfw else []
    crops = [warp(image, align(points, "arcface", SIZE).matrix, SIZE) for image, points in faces]
    if faces:
        detection(faces, options.pack)
    if options.large:
        large_photos(Path(options.large), options.pack)
    pose(crops, options.pack, options.persons)
    if faces:
        moved_faces(crops[:60])
    expressions(crops, options.persons)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", help="a folder with images/<person>/ and loose_landmark.csv")
    parser.add_argument("--pack", help="insightface's pack, or a folder of ONNX files, to compare with")
    parser.add_argument("--large", help="a folder of photos of any size, with any number of faces")
    parser.add_argument("--photos", type=int, default=300, help="of --lfw, one a person")
    parser.add_argument("--persons", type=int, default=300, help="rendered ones")
    return parser.parse_args()


if __name__ == "__main__":
    main(_options)
