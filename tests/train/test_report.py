"""The report of a run shows what there is, whatever state the run folder is in, and asks no host for anything."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_data import write_model, write_pairs

from apdgan.checkpoint import load
from train import charts, page
from train.__main__ import main
from train.dataset import open_pairs
from train.report import read_log, write_report
from train.sheets import sample_sheet, save_sample, sheet, spread

VOID = {"meta", "img", "line", "circle", "polygon", "polyline", "br"}


class Outline(HTMLParser):
    """Checks that elements close, and gathers what they say and refer to."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(markup)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def write_log(run: Path, lines: list[object]) -> Path:
    run.mkdir(exist_ok=True)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (run / "log.jsonl").write_text(text)
    return run


def shown(run: Path) -> tuple[str, Outline]:
    markup = write_report(run).read_text(encoding="utf-8")
    return markup, Outline(markup)


def test_a_whole_run_is_shown_in_one_file(tmp_path: Path) -> None:
    steps = range(50, 1050, 50)
    lines = [
        {"step": s, "minutes": s / 100, "stage": "warm" if s < 500 else "fine", "fused": 1 / s, "loss": 90 / s}
        for s in steps
    ]
    run = write_log(tmp_path / "first", lines)
    (run / "run.toml").write_text('[model]\npreset = "lite"\n# <script>alert(1)</script> & more\n')
    (run / "run.json").write_text(
        json.dumps({"step": 1000, "spent_s": 600.0, "data": {"sha256": "ab" * 32}, "x": None})
    )
    for step in (100, 1000):
        save_sample(run, step, np.full((60, 90, 3), step % 251, np.uint8))
    markup, outline = shown(run)
    said = " ".join(outline.text)
    assert outline.count["svg"] == 2
    assert outline.count["img"] == 2
    assert all(source.startswith("data:image/webp;base64,") for source in outline.sources)
    assert "http" not in markup
    assert "script" not in outline.count
    assert "<script>alert(1)</script> & more" in said
    assert "ab" * 32 in said
    assert "1,000 steps · 10 min · loss 0.09" in said
    assert said.index("step 1,000") < said.index("1 earlier of 2") < said.index("step 100")
    assert markup.index("loss</") < markup.index("fused")
    assert outline.text.count("fine") == 1


def test_a_run_without_anything_but_weights_has_a_report(tmp_path: Path) -> None:
    run = tmp_path / "bare"
    run.mkdir()
    (run / "student.safetensors").touch()
    _, outline = shown(run)
    assert "no log yet" in outline.text


def test_values_that_are_no_numbers_leave_a_gap_and_are_counted(tmp_path: Path) -> None:
    values = [1.0, 0.9, math.nan, math.inf, 0.7, 0.6]
    lines = [{"step": i, "loss": v, "dead": math.nan} for i, v in enumerate(values)]
    markup, outline = shown(write_log(tmp_path / "run", lines))
    assert markup.count('class="line"') == 2
    said = " ".join(outline.text)
    assert "left out: loss (2), dead (6)" in said
    assert "no value is a number" in said
    assert "nan" not in markup.split("</style>")[1].split("<svg")[1].split("</svg>")[0]


def test_a_log_cut_short_or_strange_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    odd = [
        "",
        "[1]",
        '{"loss": 1}',
        '{"step": null}',
        '{"step": 1e999}',
        '{"step": 100, "loss": 0.4, "note": "x", "on": true}',
    ]
    run = write_log(tmp_path / "run", [{"step": 50, "minutes": 1, "loss": 0.5}, *odd, '{"step": 150, "lo'])
    log = read_log(run / "log.jsonl")
    assert log.series == {"loss": [(50, 0.5), (100, 0.4)]}
    assert log.torn == 5
    assert "left out: 5" in shown(run)[0]


def test_after_a_resume_the_later_lines_stand(tmp_path: Path) -> None:
    steps = [50, 100, 150, 200, 100, 120, 170]
    run = write_log(tmp_path / "run", [{"step": s, "loss": float(i)} for i, s in enumerate(steps)])
    assert read_log(run / "log.jsonl").series["loss"] == [(50, 0.0), (100, 4.0), (120, 5.0), (170, 6.0)]


def test_thousands_of_lines_make_a_small_page_that_keeps_the_extremes(tmp_path: Path) -> None:
    lines = [{"step": s, "loss": 1.0 + (s == 7013), "b": 2.0} for s in range(20_000)]
    run = write_log(tmp_path / "run", lines)
    assert write_report(run).stat().st_size < 40_000
    cut = charts.spans(read_log(run / "log.jsonl").series["loss"])
    assert len(cut) == charts.MOST_POINTS
    assert max(span.high for span in cut) == 2
    assert cut[-1].x == 19_999


@pytest.mark.parametrize(
    ("low", "high", "count", "found"),
    [
        (0, 1, 4, [0, 0.5, 1]),
        (0, 120_000, 3, [0, 50_000, 100_000]),
        (0.41, 0.44, 3, [0.41, 0.42, 0.43, 0.44]),
        (2, 2, 3, [2]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, count: int, found: list[float]) -> None:
    assert charts.ticks(low, high, count) == pytest.approx(found)


def test_numbers_are_told_shortly() -> None:
    assert [charts.short(v) for v in (0, 0.05, 2e-5, 999, 5000, 126_000, 2_500_000, math.inf)] == [
        "0", "0.05", "2e-05", "999", "5,000", "126k", "2.5M", "inf",
    ]  # fmt: skip


def test_a_wide_range_is_drawn_on_a_logarithmic_axis() -> None:
    drawn = charts.chart([(i, 10.0**-i) for i in range(5)], title="falls")
    points = drawn.split('class="line" points="')[1].split('"')[0].split()
    heights = np.diff([float(point.split(",")[1]) for point in points])
    assert np.allclose(heights, heights[0], atol=0.2)


def test_one_point_and_a_flat_series_are_drawn() -> None:
    for points in ([(5.0, 1.0)], [(0.0, 3.0), (1.0, 3.0)], [(0.0, 0.0), (9.0, 0.0)]):
        Outline(charts.chart(points, title="flat"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", [{"step": 1, "loss": 1.0}])
    (run / "run.json").write_text("{")
    (run / "run.toml").write_text("a = ")
    (run / "samples").mkdir()
    (run / "samples" / "step-0000010.png").write_text("no picture")
    said = " ".join(shown(run)[1].text)
    for file in ("run.json cannot be read", "run.toml cannot be read", "step-0000010.png cannot be read"):
        assert file in said


def test_a_full_disk_leaves_the_older_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_log(tmp_path / "run", [{"step": 1, "loss": 1.0}])
    before = write_report(run).read_text()

    def full(self: Path, text: str, **_options: object) -> int:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_report(run)
    monkeypatch.undo()
    assert (run / "report.html").read_text() == before
    assert sorted(path.name for path in run.iterdir()) == ["log.jsonl", "report.html"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert main(["report", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("expected the folder of a training run") == 2
    run = write_log(tmp_path / "run", [{"step": 1, "loss": 1.0}])
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")


def test_words_are_escaped() -> None:
    markup = page.page("<b>", "a & b", [page.facts([("<i>", "</dl>")])])
    assert Outline(markup).count.get("b", 0) == 0
    assert "&lt;/dl&gt;" in markup


def test_a_sample_sheet_leaves_the_model_and_its_randomness_alone(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors")).train()
    model.G.eval()
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    pairs = open_pairs([write_pairs(tmp_path / "pairs.npz", ["a", "b", "c"])])
    made = sample_sheet(model, pairs, count=2, side=64)
    assert made.shape == (26 + 2 * 70, 6 + 3 * 70, 3)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    photos = open_pairs([write_pairs(tmp_path / "photos.npz", ["a"], drawings=False)], drawings=False)
    assert sample_sheet(model, photos, count=2, side=64).shape == (26 + 70, 6 + 2 * 70, 3)


def test_a_sheet_has_a_cell_for_every_picture() -> None:
    grey, colour = np.full((512, 512), 9, np.uint8), np.full((512, 512, 3), (200, 10, 10), np.uint8)
    made = sheet([[colour, grey], [None, grey]], ["a", "a name that is much too long for its column"], side=40)
    assert (made[30, 10] == (200, 10, 10)).all()
    assert (made[30, 60] == 9).all()
    assert (made[80, 10] == 255).all()
    assert made[:26, 52:].min() < 128
    with pytest.raises(ValueError, match="expected rows of 2"):
        sheet([[grey]], ["a", "b"])


def test_rows_are_spread_over_all_pictures() -> None:
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(2, 8) == [0, 1]
    assert spread(0, 3) == []
