"""What an NVIDIA GPU shows of this program, in one command and under nine minutes.

    make gpu-check PYTHON=python3

    make gpu-check PYTHON=python3 RECORDING=CLIP.recording.npz

It installs nothing: every engine that this interpreter can run is tried, the others are named with the reason. In
order, each with its share of the time: the drawing against the reference, in every precision; the branches of the
networks one by one, grouped and on streams (where torch is installed); time by batch, model and engine; the live
program's threads fed by a recording (``python -m benchmarks.record``; without one the repository's portrait, moved),
where a GPU clocks down between two pictures; where a run's time goes, by layer; ten thousand draws and what memory grew
by. A dated .md, .json and .png go to ``--out``. Exit code 1: a drawing was outside its bounds, or
memory grew; figures that fall short of the targets are said, and fail nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import engines
from benchmarks import branches, gpu_targets, layers, pipeline, recording, trt_branches
from benchmarks import engine as timing
from engines.catalogue import find
from engines.choose import GPU
from engines.errors import EngineError, EngineLostError, ModelError, UserError
from engines.gpu import no_gpu
from engines.samples import synthetic
from engines.trial import verify

BUDGET_S = 480.0
"""After this long no new measurement is begun."""
REST = 0.4
"""Share of it that is left to what comes after the times by batch."""
PLAYED_SECONDS = 8.0
"""Of the recording, for each engine."""
DRAWS, GROWTH_MB = 10_000, 16.0
DRAWS_SECONDS = 60.0
PHOTOS = 4
BRANCHED = (("eager", "graph"), (1, 16)), (("inductor",), (1,))
"""How the branches are measured, and in batches of which sizes: at first, and at last with the time that is left."""


class Clock:
    def __init__(self, budget_s: float) -> None:
        self.budget = budget_s
        self._until = time.monotonic() + budget_s

    @property
    def left(self) -> float:
        return max(0.0, self._until - time.monotonic())


def check(
    models: Sequence[Path],
    backends: Sequence[str],
    *,
    clock: Clock,
    seconds: float,
    played: Sequence[recording.Moment],
    keep: Callable[[dict[str, Any]], object] = lambda _report: None,
) -> dict[str, Any]:
    """A report for :func:`benchmarks.engine.table`, and what :func:`table` tells beside it.

    ``keep`` is given what there is of it after every part: a machine that is lent may be taken back.
    """
    report = timing.run([], [], [], seconds)
    report |= {"parity": {}, "branches": [], "pipeline": [], "layers": {}, "draws": [], "failed": []}
    for model in models:
        photos = [synthetic("drawing", 1, seed=seed) for seed in range(PHOTOS)]
        if clock.left == 0:
            report["passed_over"][f"{model.stem}, parity"] = "out of time"
            continue
        try:
            found = verify(model, photos, backends=backends)
        except (EngineError, ModelError) as error:
            report["passed_over"][f"{model.stem}, parity"] = str(error)
            continue
        report["parity"][model.stem] = found.table()
        # bf16 is held to its bounds by those alone who promise it, and random weights do not.
        report["failed"] += [f"{model.stem}: {name} draws otherwise" for name in found.failures(promised=False)]
        report["passed_over"] |= {f"{model.stem}, {name}": why for name, why in found.passed_over.items()}
        say(found.table())
    keep(report)
    drawn = branches.note(report, [], models, *BRANCHED[0], lambda: clock.left)
    keep(report)
    for model in models:
        for backend in backends:
            if f"{model.stem}, {backend}" in report["passed_over"]:
                continue
            if clock.left < REST * clock.budget:
                report["passed_over"][f"{model.stem}, {backend}, time by batch"] = "out of time"
                continue
            one = timing.run([str(model)], [backend], timing.BATCHES, seconds)
            report["rows"] += one["rows"]
            report["models"] |= one["models"]
            report["peaks_tmac"] |= one["peaks_tmac"]
            report["passed_over"] |= one["passed_over"]
            keep(report)
    for model in models:
        for backend in [name for name in backends if name.endswith("fp16")] or list(backends)[:1]:
            key = f"{model.stem}, {backend}"
            if key in report["passed_over"]:
                continue
            if clock.left == 0:
                report["passed_over"][f"{key}, live"] = "out of time"
                continue
            try:
                with engines.load(model, backend, log=lambda _line: None) as opened:
                    live(report, key, opened, played, clock)
            except EngineLostError as error:
                report["failed"].append(f"{key}: {error}")
            except (EngineError, ModelError) as error:
                report["passed_over"][f"{key}, live"] = str(error)
        if clock.left > 0:
            profile(report, f"{model.stem}, torch as it stands", lambda model=model: layers.eager(model))  # type: ignore[misc]
        keep(report)
    branches.note(report, drawn, models, *BRANCHED[1], lambda: clock.left)
    keep(report)
    trt_branches.note(report, models, backends, lambda: clock.left)
    return report


def live(
    report: dict[str, Any], key: str, opened: engines.Engine, played: Sequence[recording.Moment], clock: Clock
) -> None:
    """One engine in the live program, by layer, and drawing on and on; noted in the report.

    Raises:
        EngineLostError: it broke.
    """
    if "nothing" not in report:
        nothing = pipeline.Nothing(first_drawing(opened, played))
        report["nothing"] = pipeline.play(played, nothing, PLAYED_SECONDS)
    told = pipeline.added(played, opened, report["nothing"], PLAYED_SECONDS)
    report["pipeline"].append({"what": key, **told})
    profile(report, key, lambda: (layers.of(opened), "it does not tell"))
    grown = endurance(opened, DRAWS, min(DRAWS_SECONDS, clock.left))
    report["draws"].append({"what": key, **grown})
    if grown["gpu_mb"] is not None and grown["gpu_mb"] > GROWTH_MB:
        report["failed"].append(f"{key}: {grown['gpu_mb']:.0f} MB of GPU memory went in {grown['draws']} draws")


def first_drawing(engine: engines.Engine, played: Sequence[recording.Moment]) -> Any:
    """(512, 512) uint8."""
    one = played[0]
    return engine.draw(one.photo[None], one.boxes[None], one.matte[None])[0]


def profile(report: dict[str, Any], key: str, work: Callable[[], tuple[list[dict[str, Any]] | None, str]]) -> None:
    """Note where the time goes, or why that cannot be told: profilers need rights that a container may not have."""
    try:
        rows, why = work()
    except (RuntimeError, OSError, ImportError, EngineError, EngineLostError) as error:
        rows, why = None, (str(error).strip().splitlines() or [type(error).__name__])[0]
    if rows:
        report["layers"][key] = rows
    else:
        report["passed_over"][f"{key}, layers"] = why


def endurance(engine: engines.Engine, draws: int, seconds: float) -> dict[str, Any]:
    """Up to ``draws`` draws of batches of 1, 2 and 3, and the MB of GPU memory that went meanwhile (None: not told)."""
    batches: list[list[Any]] = [
        [synthetic("drawing", n)[name] for name in ("photo", "boxes", "matte")] for n in (1, 2, 3)
    ]
    for arrays in batches:
        engine.draw(*arrays)
    before, until, done = timing._gpu_memory(), time.monotonic() + seconds, 0
    while done < draws and time.monotonic() < until:
        engine.draw(*batches[done % 3])
        done += 1
    return {"draws": done, "gpu_mb": timing._taken(before)}


def table(report: dict[str, Any]) -> str:
    """Markdown: what :mod:`benchmarks.engine` tells, and the rest."""
    lines = [timing.table(report), "## The same drawing", ""]
    for model, text in report["parity"].items():
        lines += [f"{model}:", "", "```", text, "```", ""]
    lines += ["## Branches, one by one, grouped and on streams", "", branches.table(report["branches"])]
    lines += ["## The live program, fed by a recording", "", played_in_words(report), ""]
    lines += ["| | draws ms p50 | p95 | age ms p50 | p95 | added ms p50 | p95 | fps | dropped |", "|" + "---|" * 9]
    for row in report["pipeline"]:
        names = ("what", "draw_ms_p50", "draw_ms_p95", "age_ms_p50", "age_ms_p95", "added_ms_p50", "added_ms_p95")
        lines.append("| " + " | ".join(str(row[name]) for name in (*names, "fps", "dropped")) + " |")
    lines += ["", "## Where the time goes", "", layers.table(report["layers"])]
    lines += ["", "## Draws in a row", "", "| | draws | MB of GPU memory that went |", "|---|---|---|"]
    lines += [f"| {row['what']} | {row['draws']} | {row['gpu_mb']} |" for row in report["draws"]]
    lines += ["", "## Targets, of an H100", ""]
    lines += [f"- {line}" for line in gpu_targets.lines(report)]
    lines += ["", "## Failed", "", *(f"- {line}" for line in report["failed"] or ["nothing"])]
    return "\n".join(lines) + "\n"


def played_in_words(report: dict[str, Any]) -> str:
    """What was played, and what it cost without any drawing."""
    of, bare = report.get("recording", {}), report.get("nothing")
    words = f"{of.get('name', 'no recording')}, {of.get('frames', 0)} frames in {of.get('seconds', 0):.1f} s."
    if bare is None:
        return words
    ages = bare["age_ms"]
    return (
        f"{words} With an engine that takes no time a frame is delivered {ages['p50']} ms (p50) and {ages['p95']} ms "
        "(p95) after it was decoded; *added* is by how much that grows, *draws* what engine and pen take of it."
    )


def paper(folder: Path) -> Path | None:
    """The paper's networks at full width with random weights, which take as long as trained ones.

    Exported, with the checkpoint beside it; the checkpoint alone where exporting lacks a package: compiled torch draws
    from that. None: torch is not here.
    """
    try:
        import torch

        from apdgan.checkpoint import save
        from apdgan.config import preset
        from apdgan.generator import HierarchicalGenerator
    except ImportError as error:
        say(f"paper: passed over: {error}")
        return None
    checkpoint = folder / "paper.safetensors"
    torch.manual_seed(0)
    save(checkpoint, HierarchicalGenerator(preset("paper")).eval())
    try:
        from engines.export import export_drawing

        return export_drawing(checkpoint, folder / "paper.onnx").path
    except (ImportError, UserError) as error:
        say(f"paper: drawn from its checkpoint alone, by torch: {error}")
        return checkpoint


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def written(report: dict[str, Any], folder: Path, *, picture: bool = True) -> Path:
    """The dated .md, with the .json and, where it is wanted, the .png beside it."""
    path = timing.write(report | {"command": "make gpu-check"}, folder, "gpu-check", picture=picture)
    drawn = path.with_suffix(".png")
    shown = f"\n![time over batch]({drawn.name})\n" if picture and drawn.is_file() else ""
    path.write_text(table(report) + shown, encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: all as it should be; 1: it is not; 2: there is no GPU, or one line says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the report; default out")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="S", help=f"seconds; default {BUDGET_S:g}")
    parser.add_argument("--models", nargs="+", default=["paper", "studio", "lite"], metavar="MODEL")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="default: the GPU's that can be used")
    parser.add_argument("--recording", type=Path, help="of python -m benchmarks.record; default: a portrait, moved")
    args = parser.parse_args(argv)
    if args.backends is None and (reason := no_gpu()) is not None:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    clock = Clock(args.budget)
    try:
        backends = args.backends or [name for name in timing.usable() if name.partition("-")[0] in GPU]
        with tempfile.TemporaryDirectory() as folder:
            made = [paper(Path(folder)) if name == "paper" else find(name) for name in args.models]
            models = [model for model in made if model is not None]
            made_up = args.recording is None
            played = recording.synthetic(PLAYED_SECONDS) if made_up else recording.read(args.recording)
            name = "the repository's portrait, moved" if made_up else args.recording.name
            of = {"name": name, "frames": len(played), "seconds": played[-1].time}

            def keep(report: dict[str, Any]) -> Path:
                return written(report | {"recording": of}, args.out, picture=False)

            report = check(models, backends, clock=clock, seconds=1.0, played=played, keep=keep)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report |= {"recording": of}
    report["passed_over"] |= {name: why for name, why in engines.available().items() if why and name in GPU}
    path = written(report, args.out)
    print(table(report))
    print(path)
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
