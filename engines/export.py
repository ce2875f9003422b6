"""A trained network becomes the one file that every runtime runs.

``python -m engines.export RUN`` ends a training run: its weights become ``models/NAME.onnx`` with a card beside it, and
``run_stream.py --model NAME`` draws with them. RUN is a run folder of ``python -m train``, a checkpoint of ours
(``.safetensors``), or official files (``300_net_gen.pt``; the width is inferred from the tensors). The whole drawing
step is traced, and the graph compared with the network it came from before it counts as written.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from engines import runs
from engines.card import Facts, write_card
from engines.catalogue import DEFAULT, MODELS, NEEDED
from engines.command import leave
from engines.errors import ModelError, UserError
from engines.manifest import Kind, Weights, says_non_commercial
from engines.tracing import Exported, check_place, need_libraries, write_graph
from engines.weights import folded, halved, weights_sha256

if TYPE_CHECKING:
    from torch import nn

    from engines.manifest import Norm


def export_drawing(
    checkpoint: Path,
    out: Path,
    *,
    norm: Norm | None = None,
    stated: Mapping[str, str] | None = None,
    weights: Weights = "fp32",
    upstream: Sequence[Path] = (),
    crest: float | None = None,
    knee: float | None = None,
    gain: float = 1.0,
    lighten: float = 0.0,
    branches: Literal["single", "grouped"] = "single",
) -> Exported:
    """Export a generator with everything around it: photo, boxes, matte -> drawing.

    Args:
        checkpoint: any file that :func:`apdgan.checkpoint.load` reads.
        out: the ``.onnx`` file to write.
        norm: None takes what the checkpoint was saved with, ``instance`` for official files.
        stated: words for the manifest, keys as in :data:`engines.runs.STATED`; the rest comes from the checkpoint.
        weights: how the file stores the kernels; ``fp16`` rounds them, and the file is half as large.
        upstream: checkpoints that this one was learnt from; where one is non-commercial, so is this one.
        crest, knee: of a narrow preset's fusion (:class:`apdgan.config.FusionConfig`), in place of those it was trained
            with.
        gain, lighten: steepness of a narrow preset's last step, and how far it leans to paper
            (:meth:`apdgan.generator.HierarchicalGenerator.sharpen`).
        branches: ``grouped`` writes them side by side, for GPUs (:mod:`apdgan.grouped`).
    Raises:
        EngineError: torch, onnx or onnxruntime is not installed.
        ModelError: the checkpoint cannot be used, the licence allows more than the data does, or the graph does not
            draw what the network draws.
    """
    need_libraries()
    from apdgan import checkpoint as files
    from apdgan.drawer import PortraitDrawer
    from apdgan.grouped import with_branches

    check_place(out)
    try:
        generator = files.load(checkpoint, norm)
        official = checkpoint.is_dir() or checkpoint.suffix in (".pt", ".pth")
        known = runs.OFFICIAL if official else files.read_extra(checkpoint)
        licences = runs.licences_of(upstream)
    except files.CheckpointError as error:
        raise ModelError(str(error)) from None
    if crest is not None or knee is not None or lighten or gain != 1:
        try:
            generator.sharpen(gain, lighten, crest=crest, knee=knee)
        except ValueError as error:
            raise ModelError(f"{checkpoint}: {error}") from None
    words = runs.checked_rights({**known, **(stated or {})}, licences)
    if out.resolve() == (MODELS / f"{DEFAULT}.onnx").resolve() and says_non_commercial(words["licence"]):
        raise ModelError(f"{out}: the default model must be free to use, and this one is not; give it another name")
    config = generator.config
    drawn = halved(generator) if weights == "fp16" else generator
    digest = weights_sha256(drawn.state_dict())
    if branches == "grouped":
        drawn = with_branches(drawn if weights == "fp16" else folded(drawn), branches)
    return write_graph(
        PortraitDrawer(drawn),
        out,
        kind="drawing",
        identity={"family": "apdrawinggan", "preset": config.family, "width": config.width, "norm": config.norm}
        | {"weights_sha256": digest},
        words=words,
        weights=weights,
    )


def export_matte(
    net: nn.Module, out: Path, *, width: int, stated: Mapping[str, str] | None = None, weights: Weights = "fp32"
) -> Exported:
    """Export a person-matte network whose forward takes photo (B, 512, 512, 3) uint8 -> matte (B, 512, 512) uint8.

    Errors as :func:`export_drawing`.
    """
    need_libraries()
    net = halved(net) if weights == "fp16" else net
    return write_graph(
        net,
        out,
        kind="matte",
        identity={"family": "matte", "preset": "matte", "width": width, "norm": "batch"}
        | {"weights_sha256": weights_sha256(net.state_dict())},
        words=runs.checked_rights(stated or {}, {}),
        weights=weights,
    )


def export_matte_checkpoint(
    checkpoint: Path, out: Path, *, stated: Mapping[str, str] | None = None, weights: Weights = "fp32"
) -> Exported:
    """:func:`export_matte` of the safetensors file that ``train.matte`` writes; its widths are read off the tensors."""
    need_libraries()
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
    return export_matte(net.eval(), out, width=edge, stated=stated, weights=weights)


def export_run(args: argparse.Namespace, command: str) -> tuple[Exported, list[str]]:
    """What the command line asks for: model file and card. Also returns what else is to be said, one line each.

    Raises:
        UserError: one line says what is wrong.
    """
    run = runs.open_run(_one_source(args))
    out = _out(args, run)
    stated = run.stated() | {name: value for name in runs.STATED if (value := getattr(args, name)) is not None}
    if args.kind == "matte":
        done = export_matte_checkpoint(run.weights, out, stated=stated, weights=args.weights)
    else:
        done = export_drawing(
            run.weights,
            out,
            norm=args.norm,
            stated=stated,
            weights=args.weights,
            upstream=run.upstream(),
            crest=args.crest,
            knee=args.knee,
            gain=args.gain,
            lighten=args.lighten,
            branches=args.branches,
        )
    said = [f"{path}: not found, so its licence was not looked at" for path in run.upstream() if not path.exists()]
    if not args.card:
        return done, said
    picture, why = _picture(args, run, done)
    facts = Facts(file=out.name, size=done.size, parameters=done.parameters, against_eager=done.against_eager)
    card = out.with_suffix(".md")
    written = write_card(card, done.manifest, facts, run, picture=picture, command=command)
    said += [f"card: {_short(card)}{why}" if written else f"card: {_short(card)} is kept, it was written by hand"]
    return done, said


def _one_source(args: argparse.Namespace) -> Path:
    if (args.run is None) == (args.checkpoint is None):
        raise UserError("expected one run folder or checkpoint to export; see --help")
    source: Path = args.run or args.checkpoint
    return source


def _out(args: argparse.Namespace, run: runs.Run) -> Path:
    """The file to write; a name goes to models/, where the program finds it."""
    if args.out is not None:
        if args.name is not None:
            raise UserError("--name and --out: expected one of them; --name N writes models/N.onnx")
        out: Path = args.out
        return out
    name: str = args.name or run.name
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"--name: expected a plain name such as mine, got {name!r}")
    if name in NEEDED and args.kind == "drawing":
        raise UserError(
            f"--name {name}: expected a name of its own, got that of a model the program needs; give --name mine, "
            f"or --out {MODELS.name}/{name}.onnx if you mean to replace it"
        )
    return MODELS / f"{name}.onnx"


def _short(path: Path) -> Path:
    """As seen from the current folder, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _picture(args: argparse.Namespace, run: runs.Run, done: Exported) -> tuple[str | None, str]:
    """(name of the card's picture, copied beside it, what is to be said about it)."""
    source: Path | None = args.picture or run.picture
    if source is None or args.picture == Path("none"):
        return None, ""
    if args.picture is None and done.manifest.non_commercial:
        return None, f"; photos of non-commercial data are left out of it, --picture {source} puts them in"
    target = done.path.with_suffix(".png")
    try:
        if source.suffix.lower() != ".png":
            raise OSError(0, "a file of another kind")
        if source.resolve() != target.resolve():
            shutil.copyfile(source, target)
    except OSError as error:
        raise ModelError(f"--picture {source}: expected a PNG picture, got: {error.strerror}") from None
    return target.name, f", with {source}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engines.export",
        description="Turns what was trained into a model file with a card, for run_stream.py --model NAME.",
        epilog="Words that are not given come from [card] in the run's run.toml, or from the checkpoint.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder, .safetensors, or official 300_net_gen.pt")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the same, for a checkpoint")
    parser.add_argument("--name", help="write models/NAME.onnx and models/NAME.md (default: named after the run)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write FILE, ending in .onnx, and its card instead")
    parser.add_argument("--style", help="how it draws, in a few words")
    parser.add_argument("--licence", help="of the model; must say non-commercial where the data does")
    parser.add_argument("--data", metavar="TEXT", help="what it was trained on")
    parser.add_argument("--data-rights", metavar="TEXT", help='rights in the data, such as "public domain"')
    parser.add_argument("--version", metavar="TEXT", help="of the model: a date or number (default 1)")
    parser.add_argument(
        "--weights", choices=get_args(Weights), default="fp32", help="fp16: half the bytes; default fp32"
    )
    parser.add_argument("--norm", choices=("batch", "instance"), help="batch: running statistics; default: as saved")
    parser.add_argument("--crest", type=float, help="of studio, lite: how thin strokes are held; default: as trained")
    parser.add_argument("--knee", type=float, help="of studio and lite: logit from which that levels off; 0: never")
    parser.add_argument(
        "--gain", type=float, default=1.0, help="of studio, lite: more makes grey black or white; default 1"
    )
    parser.add_argument("--lighten", type=float, default=0.0, help="of studio, lite: more leaves less ink; default 0")
    parser.add_argument(
        "--branches",
        choices=("single", "grouped"),
        default="single",
        help="grouped: side by side, for GPUs; docs/gpu.md",
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="for the card, or none; default: the newest sample")
    parser.add_argument("--no-card", dest="card", action="store_false", help="write the model file alone")
    parser.add_argument("--kind", choices=get_args(Kind), default="drawing", help="default drawing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written and compared; 2: one line says what is wrong."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(given)
    try:
        done, said = export_run(args, shlex.join(["python", "-m", "engines.export", *given]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    m = done.manifest
    size = f"{done.size / 1e6:.1f} MB{', fp16 weights' * (m.weights == 'fp16')}"
    print(f"{_short(done.path)}: {m.preset} width {m.width}, norm {m.norm}, {m.gmac:.2f} GMAC, {size}")
    print(f"style: {m.style}; licence: {m.licence}; data: {m.data}; weights {m.weights_sha256[:12]}")
    for what, d in (
        ("ONNX Runtime against eager", done.against_eager),
        ("batch against singles", done.batch_against_singles),
    ):
        print(f"{what}: at most {d.max} grey level{'s' * (d.max != 1)} off, mean {d.mean:.5f}")
    for line in said:
        print(line)
    if m.kind == "drawing":
        known = done.path.parent.resolve() == MODELS.resolve()
        print(f"draw with it: python run_stream.py --model {done.path.stem if known else done.path}")
    return 0


if __name__ == "__main__":
    leave(main)
