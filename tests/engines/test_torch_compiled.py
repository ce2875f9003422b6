"""torch narrowed and compiled, on the CPU, where what it draws can be seen; a GPU runs the same module."""

from __future__ import annotations

import copy
import functools
import sys

import numpy as np
import pytest
from narrow_exports import make_generator
from tiny_models import Inputs, part

from engines import EngineLostError, torch_session
from engines.compare import difference
from engines.torch_session import CompiledSession, narrow

torch = pytest.importorskip("torch")

from apdgan.drawer import PortraitDrawer  # noqa: E402
from apdgan.grouped import with_branches  # noqa: E402


def plain(generator, inputs: Inputs) -> np.ndarray:
    with torch.inference_mode():
        drawn: np.ndarray = PortraitDrawer(generator)(*(torch.from_numpy(a) for a in inputs.values())).numpy()
    return drawn


def session(generator, how: str = "eager", precision: str = "fp32") -> CompiledSession:
    return CompiledSession(
        generator=copy.deepcopy(generator), how=how, precision=precision, device="cpu", device_name="CPU"
    )


def test_batches_that_are_filled_up_draw_their_pictures_alone(five: Inputs) -> None:
    generator = make_generator("lite", "batch", 8)
    wanted = plain(generator, part(five, 0, 3)).astype(int)
    opened = session(generator)
    for size in (1, 3):
        assert np.abs(opened.run(part(five, 0, size)) - wanted[:size]).max() <= 1
    assert sorted(opened._lanes) == [1, 4]
    assert opened.gpu_ms(3) is None
    opened.close()
    opened.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("preset", "branches"), [("lite", "grouped"), ("paper", "grouped"), ("lite", "streams")])
def test_branches_side_by_side_draw_as_one_by_one(five: Inputs, preset: str, branches: str, precision: str) -> None:
    generator = make_generator(preset, "batch", 4)
    wanted = session(generator, precision=precision).run(part(five, 0, 2))
    opened = session(with_branches(copy.deepcopy(generator), branches), how="graph", precision=precision)
    found = difference(opened.run(part(five, 0, 2)), wanted)
    assert found.mean < (0.05 if precision == "fp32" else 1.0)


def test_bf16_networks_draw_nearly_the_same_and_the_rest_stays_fp32(five: Inputs) -> None:
    generator = make_generator("lite", "batch", 8)
    narrowed = copy.deepcopy(generator)
    narrow(narrowed, "bf16")
    assert {p.dtype for p in narrowed.parameters()} == {torch.bfloat16}
    seen: dict[str, torch.dtype] = {}
    for name, net in narrowed.named_children():
        net.register_forward_hook(lambda _m, x, y, name=name: seen.update({f"{name} in": x[0].dtype, name: y.dtype}))
    drawn = plain(narrowed, part(five, 0, 1))
    assert len(seen) == 16
    assert set(seen.values()) == {torch.float32}
    found = difference(drawn, plain(generator, part(five, 0, 1)))
    assert 0 < found.mean < 4
    untouched = copy.deepcopy(generator)
    narrow(untouched, "fp32")
    assert str(untouched) == str(generator)


def test_time_is_told_by_module_and_by_operator(five: Inputs) -> None:
    generator = make_generator("lite", "batch", 8)
    opened = session(generator)
    opened.run(part(five, 0, 1))
    layers = {one.name: one for one in opened.layers(1, 2)}
    convolutions = {f"generator.{n}" for n, m in generator.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert convolutions <= set(layers)
    assert {layers[name].what for name in convolutions} == {"Conv2d"}
    assert {layers[name].calls for name in convolutions} == {1.0}
    assert all(one.ms > 0 for name, one in layers.items() if name in convolutions)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in opened._drawer.modules())
    opened._how = "inductor"  # as if it were compiled: operators in place of modules
    operators = {one.name: one for one in opened.layers(1, 2)}
    assert operators["aten::conv2d"].calls == len(convolutions) + 1  # the means along strokes, which no module makes
    assert not [name for name in operators if name.startswith("layer ")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "out of GPU memory; close what else"),
        (RuntimeError("CUDA error: device-side assert\nmore"), r"torch fails on the GPU \(CUDA error: device-side"),
        (MemoryError(), "out of GPU memory"),
    ],
)
def test_what_torch_raises_is_told_as_lost_in_one_line(five: Inputs, error: Exception, words: str) -> None:
    opened = session(make_generator("lite", "batch", 4))

    def breaks(*_args: object) -> None:
        raise error

    opened._drawer = breaks
    with pytest.raises(EngineLostError, match=words) as caught:
        opened.run(part(five, 0, 1))
    assert "\n" not in str(caught.value)


def test_no_graph_is_left_uncompiled_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own limit is eight of one function; what goes beyond runs as it stands, under the compiled one's name."""
    compiled: list[object] = []

    class Drawer(torch.nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.net = torch.nn.Linear(width, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.net(x)
            return y

    def backend(module, _example):  # type: ignore[no-untyped-def]
        compiled.append(module)
        return module.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    for width in range(2, 14):
        torch_session._compile(Drawer(width), "inductor", [])(torch.ones(1, width))
    assert len(compiled) == 12


def test_narrowed_networks_are_of_one_class() -> None:
    """Of another one, each would be compiled anew, as if it were another network."""
    kinds = set()
    for precision in ("bf16", "fp16"):
        generator = make_generator("lite", "batch", 4)
        narrow(generator, precision)
        kinds |= {type(net) for net in generator.children()}
    assert len(kinds) == 1


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
@pytest.mark.skipif(sys.platform == "win32", reason="needs a C++ compiler")
def test_inductor_draws_what_eager_draws(five: Inputs) -> None:
    generator = make_generator("lite", "batch", 4)
    opened = session(generator, how="inductor")
    assert np.abs(opened.run(part(five, 0, 2)).astype(int) - plain(generator, part(five, 0, 2))).max() <= 1
