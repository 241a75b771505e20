"""The differentiable warp: against OpenCV, against hand-made pixels, and by its gradients."""

import numpy as np
import pytest
import torch

from simswap.faces.alignment import align, template_points, warp
from simswap.faces.warping import RecognizerView, warp_batch


def _smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [127 + 100 * np.sin(x / 9 + y / 13), 127 + 100 * np.cos(x / 11), 127 + 100 * np.sin(y / 7 - x / 17)]
    return np.stack(planes, -1).astype(np.uint8)


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))


def test_agrees_with_opencv_inside_the_image():
    image = _smooth(90, 120)
    matrix = np.array([[0.9 * np.cos(0.2), -0.9 * np.sin(0.2), 4.0], [0.9 * np.sin(0.2), 0.9 * np.cos(0.2), -9.0]])
    ours = warp_batch(_tensor(image), torch.from_numpy(matrix)[None], 48)[0].permute(1, 2, 0).numpy()
    theirs = warp(image, matrix, 48).astype(np.float32)
    assert np.abs(ours - theirs)[12:, 8:].max() <= 1.0  # OpenCV rounds coordinates to 1/32 px and values to integers


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.tensor([[[[0.0, 10.0, 40.0]] * 3]])
    matrix = torch.tensor([[[1.0, 0, -0.5], [0, 1.0, 0]]])
    # output pixel x reads x + 0.5; beyond the border the last pixel counts
    torch.testing.assert_close(warp_batch(image, matrix, 3)[0, 0, 0], torch.tensor([5.0, 25.0, 40.0]))


def test_each_sample_has_its_own_matrix():
    images = torch.arange(16.0).view(1, 1, 4, 4).repeat(2, 1, 1, 1)
    matrices = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]], [[1.0, 0, -1], [0, 1.0, -2]]])
    out = warp_batch(images, matrices, 2)
    torch.testing.assert_close(out[0, 0], torch.tensor([[0.0, 1.0], [4.0, 5.0]]))
    torch.testing.assert_close(out[1, 0], torch.tensor([[9.0, 10.0], [13.0, 14.0]]))


def test_wrong_shapes_raise():
    with pytest.raises(ValueError, match=r"\[B, 2, 3\]"):
        warp_batch(torch.zeros(2, 3, 8, 8), torch.zeros(1, 2, 3), 8)
    with pytest.raises(ValueError, match="crops of 8 px"):
        RecognizerView("arcface", 8, 8)(torch.zeros(1, 3, 9, 9), torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match="nonesuch"):
        RecognizerView("nonesuch", 8, 8)


def test_gradient_is_right_in_float64():
    images = torch.rand(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    matrices = torch.tensor([[[0.8, -0.1, 0.3], [0.1, 0.8, 0.2]], [[1.1, 0, -0.4], [0, 1.1, 0.1]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: warp_batch(x, matrices, 4), images)


def test_the_grid_keeps_float32_under_autocast_and_the_images_keep_their_dtype():
    image = _tensor(_smooth(128, 128)) / 255
    matrix = torch.tensor([[[0.9, 0.05, 3.0], [-0.05, 0.9, 2.0]]])
    exact = warp_batch(image, matrix, 112)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(warp_batch(image, matrix, 112), exact, rtol=0, atol=0)
    half = warp_batch(image.bfloat16(), matrix, 112)
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().max() < 0.01


def test_own_crop_passes_bit_for_bit():
    view = RecognizerView("arcface", 112, 112)
    images = torch.rand(2, 3, 112, 112)
    assert view(images, torch.zeros(2, dtype=torch.long)) is images


@pytest.mark.parametrize(("template", "size"), [("arcface", 224), ("simswap", 224), ("ffhq", 512), ("simswap", 112)])
def test_every_pixel_of_the_middle_gets_gradient(template, size):
    """At half size a bare bilinear warp would reach one pixel in four, and the identity loss no other."""
    images = torch.rand(1, 3, size, size, requires_grad=True)
    RecognizerView(template, size, 112)(images, torch.tensor([0])).sum().backward()
    assert images.grad is not None
    middle = images.grad[0, 0, size // 4 : -size // 4, size // 4 : -size // 4]
    assert (middle > 0).float().mean() == 1


@pytest.mark.parametrize(("template", "size"), [("simswap", 224), ("ffhq", 512), ("arcface", 224)])
def test_view_of_a_crop_is_the_photo_aligned_for_the_recognizer(template, size):
    """photo → crop → recognizer's view = photo → recognizer's crop, where the face fits the template."""
    photo = _smooth(600, 600)
    view = 3 if template == "simswap" else 0
    landmarks = template_points(template, 300, view) + 120
    alignment = align(landmarks, template, size)
    crop = _tensor(warp(photo, alignment.matrix, size))
    seen = RecognizerView(template, size, 112)(crop, torch.tensor([alignment.view]))[0].permute(1, 2, 0).numpy()
    direct = warp(photo, align(landmarks, "arcface", 112).matrix, 112).astype(np.float32)
    inside = np.abs(seen - direct)[16:-16, 16:-16]
    assert inside.mean() < 2.5
    assert inside.max() < 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("template", "size"), [("simswap", 112), ("ffhq", 80)])
def test_kept_grids_warp_as_the_matrices_do_bit_for_bit(template, size, dtype):
    view = RecognizerView(template, size, 112)
    count = len(view.matrices)
    images, views = torch.rand(7, 3, size, size, dtype=dtype), torch.arange(7) * 3 % count
    with torch.inference_mode():  # as in a validation before the first iteration
        first = view(images, views)
    images.requires_grad_()
    seen = view(images, views)
    expected = warp_batch(images, view.matrices[views], 112)
    assert torch.equal(seen, expected)
    assert torch.equal(first, expected)
    (gradient,), (by_matrix,) = (torch.autograd.grad(x.square().sum(), images) for x in (seen, expected))
    assert torch.equal(gradient, by_matrix)
    assert view._grids_for(images) is view._grids_for(images)
    view.double()
    assert torch.equal(view(images, views), expected)


def test_buffers_stay_out_of_the_checkpoint():
    assert not RecognizerView("simswap", 224, 112).state_dict()
