"""``python -m simswap.checkpoint SOURCE OUT``: make a slim checkpoint to share."""

import argparse
from pathlib import Path

from simswap.checkpoint.slim import write_slim
from simswap.errors import InputError


def main() -> None:
    """Write the slim checkpoint and print its size."""
    parser = argparse.ArgumentParser(
        prog="python -m simswap.checkpoint", description="Write the averaged generator of a checkpoint alone, in fp16."
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--note", action="append", default=[], metavar="NAME=TEXT", help="kept in the description")
    parser.add_argument(
        "--discriminators", action="store_true", help="keep the discriminators too (for the distances of their layers)"
    )
    arguments = parser.parse_args()
    notes = dict(note.split("=", 1) for note in arguments.note)
    try:
        write_slim(arguments.source, arguments.out, notes, discriminators=arguments.discriminators)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
