"""dlib and its model files, which the packages ``dlib-bin`` and ``face_recognition_models`` bring (extra ``dlib``)."""

from pathlib import Path
from types import ModuleType

from simswap.errors import InputError
from simswap.packages import import_package, package_folder

INSTALL = "pip install dlib-bin face_recognition_models (setup.cfg's extra dlib)"
RECOGNIZER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS_68 = "shape_predictor_68_face_landmarks.dat"
CNN_DETECTOR = "mmod_human_face_detector.dat"


def dlib_module(key: str) -> ModuleType:
    """The installed dlib.

    Args:
        key: The setting that needs it, such as ``detector=dlib``, for the message.

    Raises:
        InputError: dlib is not installed, or cannot be loaded.
    """
    return import_package("dlib", f"{key}: needs dlib", INSTALL)


def dlib_file(name: str, key: str, path: str | None = None) -> Path:
    """A model file of dlib.

    Args:
        name: Its name in the package.
        key: The setting that needs it, for the message.
        path: The file given by the user; None for the one that the package brings.

    Raises:
        InputError: The package is not installed, or the file is missing.
    """
    if path is not None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise InputError(f"{key}: {file}: no such file; give dlib's {name}, or leave the path out")
        return file
    # Found without importing it: its __init__ needs pkg_resources, which newer Pythons lack.
    folder = package_folder("face_recognition_models")
    if folder is None:
        raise InputError(f"{key}: needs the package face_recognition_models, which is not installed; {INSTALL}")
    file = folder / "models" / name
    if not file.is_file():
        raise InputError(f"{key}: {file}: no such file; install face_recognition_models again")
    return file
