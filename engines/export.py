"""A trained network becomes the one file that every runtime runs.

``python -m engines.export --checkpoint FILE --norm batch --out models/lite.onnx``: reads a checkpoint (our own
``.safetensors`` or the official files; the width is inferred from the tensors), traces the whole drawing step, writes
its manifest, and compares the file with the network it came from before it counts as written.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import graph
from engines.backends import ort
from engines.compare import FP32_MAX, Difference, difference
from engines.contract import OUTPUT
from engines.errors import EngineError, ModelError, UserError
from engines.manifest import Kind, Manifest
from engines.samples import synthetic
from engines.weights import weights_sha256

if TYPE_CHECKING:
    from torch import nn

    from engines.manifest import Norm

OPSET = 20
STATED = ("style", "licence", "data", "version")
"""What a person says of a model; taken from the checkpoint where it is recorded there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written and how true it is."""

    path: Path
    manifest: Manifest
    size: int
    """Bytes."""
    against_eager: Difference
    """ONNX Runtime against the network itself, a batch of two."""
    batch_against_singles: Difference
    """The same batch against its pictures run one by one."""


def export_drawing(
    checkpoint: Path, out: Path, *, norm: Norm | None = None, stated: dict[str, str] | None = None
) -> Exported:
    """Export a generator with everything around it: photo, boxes, matte -> drawing.

    Args:
        checkpoint: any file that :func:`apdgan.checkpoint.load` reads.
        out: the ``.onnx`` file to write.
        norm: None takes what the checkpoint was saved with, ``instance`` for official files.
        stated: words for the manifest, keys as in :data:`STATED`; what is not given comes from the checkpoint.
    Raises:
        EngineError: torch, onnx or onnxruntime is not installed.
        ModelError: the checkpoint cannot be used, or the exported graph does not draw what the network draws.
    """
    _need_libraries()
    from apdgan import checkpoint as files
    from apdgan.drawer import PortraitDrawer

    try:
        generator = files.load(checkpoint, norm)
        words = files.read_extra(checkpoint) | (stated or {})
    except files.CheckpointError as error:
        raise ModelError(str(error)) from None
    config = generator.config
    return _export(
        PortraitDrawer(generator),
        out,
        kind="drawing",
        identity={"family": "apdrawinggan", "preset": config.family, "width": config.width, "norm": config.norm},
        digest=weights_sha256(generator.state_dict()),
        words=words,
    )


def export_matte(net: nn.Module, out: Path, *, width: int, stated: dict[str, str] | None = None) -> Exported:
    """Export a person-matte network whose forward takes photo (B, 512, 512, 3) uint8 -> matte (B, 512, 512) uint8.

    Errors as :func:`export_drawing`.
    """
    _need_libraries()
    return _export(
        net,
        out,
        kind="matte",
        identity={"family": "matte", "preset": "matte", "width": width, "norm": "batch"},
        digest=weights_sha256(net.state_dict()),
        words=stated or {},
    )


def export_matte_checkpoint(checkpoint: Path, out: Path, *, stated: dict[str, str] | None = None) -> Exported:
    """:func:`export_matte` of the safetensors file that ``train.matte`` writes; its widths are read off the tensors."""
    _need_libraries()
    import safetensors
    import safetensors.torch

    from apdgan.matte import MatteNet

    try:
        state = safetensors.torch.load_file(checkpoint)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"{checkpoint}: expected the weights of a matte network (.safetensors); got: {error}"
        ) from None
    try:
        firsts = ("edge", "down64", "down32", "down16", "down8")
        edge, w64, w32, w16, w8 = (int(state[f"{name}.0.weight"].shape[0]) for name in firsts)
        net = MatteNet(widths=(edge, w64, w32, w16, w8))
        net.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{checkpoint}: not a matte network: {str(error).strip().splitlines()[-1].strip()}") from None
    return export_matte(net.eval(), out, width=edge, stated=stated)


def _export(
    module: nn.Module, out: Path, *, kind: Kind, identity: dict[str, Any], digest: str, words: Mapping[str, str]
) -> Exported:
    if out.suffix != ".onnx":
        raise ModelError(f"{out}: expected a file name that ends in .onnx")
    if not out.parent.is_dir():
        raise ModelError(f"{out}: cannot write the model: no folder {out.parent}; choose another folder")
    model = _trace(module, kind)
    text: dict[str, Any] = {key: words.get(key, "1" if key == "version" else "not stated") for key in STATED}
    manifest = Manifest(kind=kind, weights_sha256=digest, gmac=round(graph.gmac(model), 3), **identity, **text)
    eager, singles = _compare(module, model, kind)
    if max(eager.max, singles.max) > FP32_MAX:
        raise ModelError(
            f"{out}: not written: the exported graph is {eager.max} grey levels off the network, and its batches "
            f"{singles.max} off its singles; expected at most {FP32_MAX}"
        )
    graph.save(model, out, manifest)
    return Exported(
        path=out, manifest=manifest, size=out.stat().st_size, against_eager=eager, batch_against_singles=singles
    )


def _trace(module: nn.Module, kind: Kind) -> Any:
    """A module in eval mode as a clean, checked onnx.ModelProto with a dynamic batch.

    What it takes for every runtime to build the graph: the dynamo exporter at opset 20, weights inside the file, and an
    example batch of two (a batch of one would be baked in).
    """
    import onnx
    import torch

    batch = torch.export.Dim("batch", min=1, max=1024)
    inputs = synthetic(kind, batch=2)
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                tuple(torch.from_numpy(array) for array in inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(inputs),
                output_names=[OUTPUT[kind]],
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"the network does not export: {str(error).strip().splitlines()[0]}") from None
    assert program is not None
    model = program.model_proto
    graph.clean(model)
    graph.expect_no_norm(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _compare(module: nn.Module, model: Any, kind: Kind) -> tuple[Difference, Difference]:
    """(ONNX Runtime against eager, batch against singles), the graph run as it is, with its real batch."""
    import torch

    inputs = synthetic(kind, batch=2, seed=1)
    with torch.inference_mode():
        eager = module(*(torch.from_numpy(a) for a in inputs.values())).numpy()
    batch, *singles = ort.run_graph(
        model.SerializeToString(), [inputs, *({k: a[i : i + 1] for k, a in inputs.items()} for i in range(2))]
    )
    return difference(batch, eager), difference(batch, np.concatenate(singles))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter remarks on its own insides (missing torchvision, renamed axes) at length."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _need_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"exporting needs {error.name}; pip install torch safetensors onnx onnxscript onnxruntime"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines.export", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help=".safetensors of ours, or official .pt / .pth")
    parser.add_argument("--norm", choices=("batch", "instance"), help="batch: running statistics; default: as saved")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--kind", choices=("drawing", "matte"), default="drawing")
    for name in STATED:
        parser.add_argument(f"--{name}", help="for the manifest; default: what the checkpoint records")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written and compared; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    stated = {name: getattr(args, name) for name in STATED if getattr(args, name) is not None}
    try:
        if args.kind == "matte":
            done = export_matte_checkpoint(args.checkpoint, args.out, stated=stated)
        else:
            done = export_drawing(args.checkpoint, args.out, norm=args.norm, stated=stated)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    m = done.manifest
    print(f"{done.path}: {m.preset} width {m.width}, norm {m.norm}, {m.gmac:.2f} GMAC, {done.size / 1e6:.1f} MB")
    print(f"style: {m.style}; licence: {m.licence}; data: {m.data}; weights {m.weights_sha256[:12]}")
    for what, d in (
        ("ONNX Runtime against eager", done.against_eager),
        ("batch against singles", done.batch_against_singles),
    ):
        print(f"{what}: at most {d.max} grey level{'s' * (d.max != 1)} off, mean {d.mean:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
