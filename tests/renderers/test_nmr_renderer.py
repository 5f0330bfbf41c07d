"""neural_renderer behind our interface, with a stand-in that keeps to its documented conventions.

The stand-in records how it is called and draws with our plain torch rasteriser, so that a wrong
camera, flip, colour or label shows.
"""

import sys
import types

import pytest
import torch

from models.body_model import read_mean_parameters
from renderers.nmr_renderer import NmrRenderer
from renderers.rasteriser import Rasteriser
from renderers.torch_rasteriser import rasterise
from synthesis.options import CameraOptions
from synthesis.synthesiser import Synthesiser
from utils.errors import InputError

_SIZE = 48


class _Renderer:
    """What `neural_renderer.Renderer` 1.1.3 does in its projection mode."""

    def __init__(self, **options):
        self.options = options
        self.calls = []

    def __call__(self, vertices, faces, textures, **camera):
        self.calls.append({"vertices": vertices, "faces": faces, "textures": textures, **camera})
        options = self.options
        size = options["image_size"]
        if options["fill_back"]:
            faces = torch.cat([faces, faces.flip(2)], dim=1)
            textures = torch.cat([textures, textures.permute(0, 1, 4, 3, 2, 5)], dim=1)
        # Light is multiplied into the textures in place, as the real one does.
        textures *= float(options["light_intensity_ambient"])
        in_camera = vertices @ camera["R"].transpose(1, 2) + camera["t"]
        index, depth = rasterise(
            in_camera,
            camera["K"],
            faces[0].long(),
            (size, size),
            (options["near"], options["far"]),
        )
        assert camera["orig_size"] == size
        assert not camera["dist_coeffs"].any()
        drawn = index >= 0
        colours = textures[:, :, 0, 0, 0][torch.arange(len(index))[:, None, None], index.long()]
        colours = torch.where(
            drawn[..., None], colours, torch.tensor(options["background_color"]).float()
        )
        depth = torch.where(drawn, depth, options["far"])
        return colours.permute(0, 3, 1, 2), depth, drawn.float()


@pytest.fixture
def neural_renderer(monkeypatch):
    module = types.ModuleType("neural_renderer")
    module.Renderer = _Renderer
    monkeypatch.setitem(sys.modules, "neural_renderer", module)
    return module


def _people(body_model):
    """Three bodies 42 m away, seen through a crop each."""
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    vertices = body_model.tpose(betas) * torch.tensor([1.0, -1, -1]) + torch.tensor([0.0, 0, 42])
    scale = torch.tensor([700.0, 800, 600])
    cam_k = torch.eye(3).repeat(3, 1, 1)
    cam_k[:, 0, 0] = cam_k[:, 1, 1] = scale
    cam_k[:, :2, 2] = torch.tensor([20.0, 25])
    return vertices, cam_k


def test_same_labels_faces_and_depth_as_our_rasteriser(neural_renderer, body_model):
    vertices, cam_k = _people(body_model)
    arguments = (body_model.faces, body_model.face_parts, _SIZE)
    found, expected = (cls(*arguments)(vertices, cam_k) for cls in (NmrRenderer, Rasteriser))
    assert expected.silhouette.float().mean() > 0.05
    assert torch.equal(found.part_segmentation, expected.part_segmentation)
    assert torch.equal(found.face_index, expected.face_index)
    # A face and its back, which only neural_renderer draws, differ in the last digit.
    torch.testing.assert_close(found.depth, expected.depth, atol=1e-4, rtol=0)
    parts = NmrRenderer(*arguments).part_segmentation(vertices, cam_k)
    assert torch.equal(parts, expected.part_segmentation)


def test_how_the_library_is_called(neural_renderer, body_model):
    vertices, cam_k = _people(body_model)
    renderer = NmrRenderer(body_model.faces, body_model.face_parts, _SIZE, near=0.5, far=60.0)
    renderer.part_segmentation(vertices, cam_k)
    renderer.part_segmentation(vertices, cam_k)
    options, calls = renderer._renderer.options, renderer._renderer.calls
    assert options["camera_mode"] == "projection"
    assert options["anti_aliasing"] is False
    assert options["fill_back"] is True
    assert (options["near"], options["far"]) == (0.5, 60.0)
    assert options["light_intensity_directional"] == 0
    faces = len(body_model.faces)
    assert calls[0]["faces"].shape == (3, faces, 3)
    assert calls[0]["faces"].dtype == torch.int32
    assert calls[0]["textures"].shape == (3, faces, 2, 2, 2, 3)
    assert calls[0]["t"].shape == (3, 1, 3)
    # Colours are the same in every call, whatever the library does to its own copies.
    assert torch.equal(calls[0]["textures"], calls[1]["textures"])


def test_training_draws_with_it_when_asked(neural_renderer, body_model):
    poses = torch.zeros(2, 72)
    poses[:, 0] = torch.pi
    mean_betas = read_mean_parameters("open").betas
    found, expected = (
        Synthesiser(body_model, mean_betas, _SIZE, CameraOptions(), renderer)(
            poses, mean_betas.expand(2, -1)
        ).observation
        for renderer in ("nmr", "own")
    )
    assert torch.equal(found.proxy(), expected.proxy())
    assert expected.silhouettes.float().mean() > 0.05


def test_asked_for_and_absent(monkeypatch, body_model):
    monkeypatch.setitem(sys.modules, "neural_renderer", None)
    with pytest.raises(
        InputError, match=r"nmr cannot load neural_renderer .* --data\.renderer own"
    ):
        NmrRenderer(body_model.faces, body_model.face_parts, _SIZE)
