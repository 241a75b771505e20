"""Published figures of SimSwap and others on FaceForensics++, from other data and other protocols than the runs'."""

from typing import NamedTuple


class Published(NamedTuple):
    """A published row: ID retrieval in 0..1 and pose error in degrees, by its authors' protocol."""

    name: str
    source: str
    id_retrieval: float
    pose_error_deg: float


PUBLISHED = (
    Published("SimSwap", "its paper, 2020", 0.9283, 1.53),
    Published("FaceShifter", "published measurement", 0.974, 2.96),
    Published("HifiFace", "published measurement", 0.9801, 2.84),
    Published("FaceDancer", "published measurement", 0.9884, 2.04),
    Published("AlphaFace", "published measurement", 0.9877, 1.24),
    Published("SimSwap, 2026 survey", "survey benchmark, 2026", 0.9000, 2.14),
    Published("inswapper", "survey benchmark, 2026", 0.9692, 2.84),
)
WARNING = (
    "measured by others on FaceForensics++ at full size with other recognizers and pose estimators: not comparable "
    "with the runs here, shown for orientation"
)
