"""Speed of the rendered faces: photos a second of one core's CPU time, each person's set-up included.

python benchmarks/renderer.py [--persons 40] [--images 8] [--size 128]
"""

import argparse
import time

import cv2

from simswap.rendered.dataset import photo

SEED = 77  # no data set's


def main() -> None:
    parser = argparse.ArgumentParser(description="Photos a second of the rendered faces.")
    parser.add_argument("--persons", type=int, default=40)
    parser.add_argument("--images", type=int, default=8, help="photos of each person: its set-up is shared by them")
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    photo(SEED, 0, 0, arguments.size)  # tables that are made once
    start = time.process_time()
    for person in range(1, arguments.persons + 1):
        for image in range(arguments.images):
            photo(SEED, person, image, arguments.size)
    count, seconds = arguments.persons * arguments.images, time.process_time() - start
    print(f"renderer: {count / seconds:.0f} photos/s of {arguments.size} px, {arguments.images} a person")


if __name__ == "__main__":
    main()
