"""The original's own numbers: same weights, same photo, mask and landmarks in; same maps out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import golden_rule as rule
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from apdgan import alignment, checkpoint
from apdgan.generator import GeneratorOutput, HierarchicalGenerator

every_width = pytest.mark.parametrize("width", rule.WIDTHS)
every_mode = pytest.mark.parametrize("mode", rule.MODES)
every_case = pytest.mark.parametrize("case", rule.CASES)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Width -> a file as the authors publish it, holding the weights of the rule."""
    folder = tmp_path_factory.mktemp("official")
    files = {width: folder / f"{width}_net_gen.pt" for width in rule.WIDTHS}
    for width, path in files.items():
        torch.save(rule.weights(width), path)
    return files


def boxes(case: int) -> NDArray[np.int32]:
    return alignment.boxes(rule.landmarks(case))


def draw(
    generator: HierarchicalGenerator, photos: list[int], corners: NDArray[np.int32], masks: NDArray[np.uint8]
) -> GeneratorOutput:
    photo = torch.from_numpy(np.stack([rule.photo(case) for case in photos])).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        return generator((photo - 0.5) / 0.5, torch.from_numpy(corners), torch.from_numpy(masks >= 128)[:, None])


def draw_case(generator: HierarchicalGenerator, case: int) -> GeneratorOutput:
    return draw(generator, [case], boxes(case)[None], rule.mask(case)[None])


def full_maps(output: GeneratorOutput, row: int = 0) -> dict[str, NDArray[np.float32]]:
    """The maps of one picture under the names they are stored by."""
    maps = {"fake_B": output.fused, "fake_B0": output.global_, "fake_B1": output.local_map}
    maps |= {f"raw_{name}": value for name, value in output.raw.items()}
    return {name: value[row, 0].numpy() for name, value in maps.items()}


def misses(output: GeneratorOutput, width: int, mode: str, case: int, row: int = 0) -> dict[str, float]:
    """Map -> largest absolute difference from the stored pixels."""
    maps, found = full_maps(output, row), {}
    for key, expected in rule.stored(width, case).items():
        if key.startswith(mode):
            _, name, grid = key.split("/")
            step = int(grid.removeprefix("sub"))
            found[name] = float(np.abs(maps[name][::step, ::step] - expected).max())
    assert found.keys() == maps.keys()
    return found


@every_width
@every_case
def test_the_photo_is_the_one_that_the_original_drew(width: int, case: int) -> None:
    digest = hashlib.sha256(rule.photo(case).tobytes()).hexdigest()
    assert digest == rule.meta(width, case)["img_sha256"]


@every_width
@every_case
def test_boxes_stand_where_the_original_put_them(width: int, case: int) -> None:
    centres = boxes(case) + np.array(alignment.PART_SIZES) // 2
    np.testing.assert_array_equal(centres, rule.stored(width, case)["center"])


@every_width
@every_mode
@every_case
def test_every_map_equals_the_originals(official: dict[int, Path], width: int, mode: str, case: int) -> None:
    output = draw_case(checkpoint.load(official[width], norm=rule.MODES[mode]), case)
    assert max(misses(output, width, mode, case).values()) <= rule.TOLERANCE

    # Only every eighth pixel is stored, but moments and extremes of the whole maps are.
    meta = rule.meta(width, case)
    for name, full in full_maps(output).items():
        got = {"mean": full.mean(dtype=float), "std": full.std(dtype=float), "min": full.min(), "max": full.max()}
        assert got == pytest.approx(meta[f"{mode}/{name}"], abs=rule.TOLERANCE), name


@every_mode
def test_two_faces_in_one_batch_each_equal_the_original(official: dict[int, Path], mode: str) -> None:
    generator = checkpoint.load(official[8], norm=rule.MODES[mode])
    both = list(rule.CASES)
    output = draw(generator, both, np.stack([boxes(c) for c in both]), np.stack([rule.mask(c) for c in both]))
    for case in both:
        assert max(misses(output, 8, mode, case, row=case).values()) <= rule.TOLERANCE


@every_mode
@pytest.mark.parametrize("network", checkpoint.NETWORKS)
def test_one_perturbed_weight_is_noticed(official: dict[int, Path], mode: str, network: str) -> None:
    generator = checkpoint.load(official[8], norm=rule.MODES[mode])
    weight = next(generator.get_submodule(network).parameters())
    with torch.no_grad():
        weight.view(-1)[weight.abs().argmax()] *= 1.1
    assert max(misses(draw_case(generator, 0), 8, mode, 0).values()) > 10 * rule.TOLERANCE


@every_mode
@pytest.mark.parametrize(("part", "shift"), [(0, (1, 0)), (1, (0, -1)), (2, (-1, 0)), (3, (0, 1))])
def test_one_box_off_by_a_pixel_is_noticed(
    official: dict[int, Path], mode: str, part: int, shift: tuple[int, int]
) -> None:
    corners = boxes(0)[None].copy()
    corners[0, part] += shift
    output = draw(checkpoint.load(official[8], norm=rule.MODES[mode]), [0], corners, rule.mask(0)[None])
    found = misses(output, 8, mode, 0)
    part_map = "raw_" + checkpoint.NETWORKS[1 + part]
    assert found[part_map] > 10 * rule.TOLERANCE
    assert found["fake_B"] > 10 * rule.TOLERANCE


@every_mode
@pytest.mark.parametrize("axis", [0, 1])
def test_a_matte_off_by_three_pixels_is_noticed(official: dict[int, Path], mode: str, axis: int) -> None:
    shifted = np.roll(rule.mask(0), 3, axis)[None]
    output = draw(checkpoint.load(official[8], norm=rule.MODES[mode]), [0], boxes(0)[None], shifted)
    found = misses(output, 8, mode, 0)
    for name in ("raw_GLHair", "raw_GLBG", "fake_B1", "fake_B"):
        assert found[name] > 10 * rule.TOLERANCE, name
    assert found["fake_B0"] <= rule.TOLERANCE  # the global network does not see the matte
