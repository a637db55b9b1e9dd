"""The command line: one dissection without a server, and what a caller reads when something is wrong."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cli.main import main
from tests.engine.small_networks import ARCHITECTURE, LAYERS, write_dissector, write_target
from tests.reports.page import Page

IMAGES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dissection")
    pixels = np.random.default_rng(3)
    for index in range(IMAGES):
        Image.fromarray(pixels.integers(0, 256, (40, 30), dtype=np.uint8)).save(path / f"{index}.png")
    (path / "manifest.csv").write_text("image\n" + "".join(f"{index}.png\n" for index in range(IMAGES)))
    (path / "concepts.txt").write_text("mass\ncalcification\nsurgical clip\n")
    write_target(path)
    write_dissector(path)
    return path


@dataclass
class Done:
    """What a command printed and the status it ended with."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def mammodissect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command in this process, as the console script calls it."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["mammodissect", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


def arguments(folder: Path, **changes: str) -> list[str]:
    options = {
        "checkpoint": str(folder / "target.safetensors"),
        "architecture": ARCHITECTURE,
        "dissector": str(folder / "dissector"),
        "probe-set": str(folder / "manifest.csv"),
        "concept-set": str(folder / "concepts.txt"),
        "layers": ",".join(LAYERS),
        "top-k": "4",
        "concepts-per-neuron": "2",
        "device": "cpu",
    } | changes
    return ["dissect", *(part for name, value in options.items() for part in (f"--{name}", value))]


def test_dissect_says_what_findings_mean(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    manifest = folder / "found.csv"
    rows = "".join(f"{index}.png,{'lump' if index % 2 else 'Masses'}|odd shadow\n" for index in range(IMAGES))
    manifest.write_text(f"image,findings\n{rows}")
    findings_map = tmp_path / "map.yaml"
    findings_map.write_text("lump: mass\n")
    options = arguments(folder, **{"probe-set": str(manifest), "out": str(tmp_path / "neurons.json"), "draws": "0"})

    done = mammodissect(*options, "--findings-map", str(findings_map))
    assert done.status == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "1 finding of the probe set names no concept: odd shadow (8)." in said
    assert "1 finding was taken for concepts of another spelling: Masses (plural)." in said
    assert "The map of findings (map.yaml) says what 1 finding means." in said

    findings_map.write_text("lump: surgical clips\nshadow: masss\n")
    done = mammodissect(*options, "--findings-map", str(findings_map))
    assert done.status == 2
    assert "'shadow' means 'masss'" in done.stderr
    assert "Near matches: mass" in done.stderr


def test_dissect_takes_a_part_and_what_counts_as_independent(
    folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]
) -> None:
    for index in range(18):
        shutil.copyfile(folder / f"{index % IMAGES}.png", tmp_path / f"{index}.png")
    manifest = tmp_path / "parts.csv"
    rows = "".join(f"{index}.png,s{index // 2},{'ABC'[index % 3]},{index}\n" for index in range(18))
    manifest.write_text(f"image,study_id,density,place\n{rows}")
    options = arguments(folder, **{"probe-set": str(manifest), "out": str(tmp_path / "neurons.json"), "draws": "10"})

    done = mammodissect(*options, "--independent", "place", "--where", "density=A,C")
    assert done.status == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "Only images with density A or C were used" in said
    assert "groups by 'place' count as independent" in said
    assert "Column 'study_id' is taken for exam_id" in said

    for wrong, told in (("density=D", "The values are 'A', 'B', 'C'."), ("densty=A", "Did you mean 'density'?")):
        refused = mammodissect(*options, "--independent", "place", "--where", wrong)
        assert refused.status == 2
        assert told in " ".join(refused.stderr.split())


def test_dissect_shows_images_as_it_is_told(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    given = ["--input", "height=96", "--input", "width=64", "--input", "orientation=left"]
    report = tmp_path / "report.html"
    options = arguments(folder, out=str(tmp_path / "neurons.json"), report=str(report), draws="0")
    done = mammodissect(*options, *given)
    assert done.status == 0, done.stderr
    assert "mean and std are what timm has for photographs" in " ".join(done.stderr.split())
    page = Page(report.read_text())
    assert ["width", "64", "given"] in page.rows["method"]
    assert ["mean", "0.5, 0.5, 0.5", "library"] in page.rows["method"]

    refused = mammodissect(*options, "--input", "hight=96")
    assert refused.status != 0
    assert "Near matches: height" in " ".join(refused.stderr.split())


def test_dissect_takes_the_set_of_weights_that_it_is_told(
    folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]
) -> None:
    weights = load_file(folder / "target.safetensors")
    zeros = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    checkpoint = tmp_path / "trained.pt"
    torch.save({"state_dict": weights, "state_dict_ema": zeros}, checkpoint)

    dead = []
    for entry in ("state_dict", "state_dict_ema"):
        out, report = tmp_path / f"{entry}.csv", tmp_path / f"{entry}.html"
        changes = {"checkpoint": str(checkpoint), "weights": entry, "out": str(out), "report": str(report)}
        done = mammodissect(*arguments(folder, draws="0", layers="layer1.*", **changes))
        assert done.status == 0, done.stderr
        page = Page(report.read_text())
        assert f"The weights are those of the entry '{entry}'" in page.text
        assert ["layers_asked", "layer1.*"] in page.rows["method"]
        with out.open() as file:
            dead.append([row["dead"] for row in csv.DictReader(file)])
    assert "false" in dead[0]
    assert set(dead[1]) == {"true"}, "all weights of that entry are zero"


def test_dissect_writes_every_neuron(folder: Path, tmp_path: Path) -> None:
    """In a process of its own, as people run it."""
    out = tmp_path / "neurons.csv"
    command = [sys.executable, "-m", "cli.main", *arguments(folder, out=str(out))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "written to" in done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == set(LAYERS)
    assert {row["concept"] for row in rows} <= {"mass", "calcification", "surgical clip", ""}


def test_the_published_layout(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    out = tmp_path / "published.csv"
    assert mammodissect(*arguments(folder, out=str(out), **{"csv-layout": "published"})).status == 0
    with out.open() as file:
        assert next(csv.reader(file)) == ["layer", "unit", "description", "similarity", "images"]


def test_a_report_beside_the_result(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    out, report = tmp_path / "neurons.json", tmp_path / "report.html"
    assert mammodissect(*arguments(folder, out=str(out), report=str(report), purpose="clinical")).status == 0
    page = Page(report.read_text())
    assert {row[1] for row in page.rows["layers"][1:]} == set(LAYERS)
    assert "target.safetensors" in page.text
    assert ["purpose", "clinical"] in page.rows["method"]
    assert str(folder) not in report.read_text(), "no path of this machine"


def test_json_by_another_similarity(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    out = tmp_path / "neurons.json"
    assert mammodissect(*arguments(folder, out=str(out), similarity="cosine_cubed", layers=LAYERS[0])).status == 0
    assert LAYERS[0] in json.dumps(json.loads(out.read_text()))


def test_prompts(folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]) -> None:
    out, report = tmp_path / "neurons.json", tmp_path / "report.html"
    options = arguments(folder, out=str(out), report=str(report), layers=LAYERS[0], draws="0")
    templates = ("--template", "a mammogram showing {}", "--template", "{} in the breast")
    assert mammodissect(*options, *templates, "--synonyms", "--subtract-empty").status == 0
    assert "2 templates &#39;a mammogram showing {}&#39;" in report.read_text()


def test_shards_that_batches_fill_change_no_name(
    folder: Path, tmp_path: Path, mammodissect: Callable[..., Done]
) -> None:
    names = []
    for shard_size in ("2", "256"):
        out = tmp_path / f"{shard_size}.csv"
        sizes = {"shard-size": shard_size, "batch-size": "2"}
        assert mammodissect(*arguments(folder, out=str(out), **sizes)).status == 0
        with out.open() as file:
            names.append([(row["layer"], row["unit"], row["concept"], row["score"]) for row in csv.DictReader(file)])
    assert names[0] == names[1]
    assert mammodissect(*arguments(folder, out=str(tmp_path / "none.csv"), **{"shard-size": "0"})).status == 2


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"layers": "layer1.7"}, "Near matches: layer1.0"),
        ({"architecture": "timm/test_resnett"}, "test_resnet"),
        ({"top-k": "9"}, "top_k"),
        ({"out": "neurons.xlsx"}, ".json, .csv or .parquet"),
        ({"out": "nowhere/neurons.csv"}, "Create it first"),
        ({"report": "report.pdf"}, ".html"),
        ({"report": "nowhere/report.html"}, "Create it first"),
        ({"probe-set": "none.csv"}, "manifest"),
        ({"concept-set": "birads"}, "bi-rads"),
        ({"device": "gpu"}, "auto, cpu or cuda:N"),
        ({"template": "a mammogram"}, "Write {} once"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mammodissect: Callable[..., Done],
    changes: dict[str, str],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mammodissect(*arguments(folder, **({"out": "neurons.json"} | changes)))
    assert done.status == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mammodissect: "), done.stderr
    assert hint in last
    assert list(tmp_path.iterdir()) == [], "nothing is half-written"


def test_migrate_without_a_database_says_which_setting_is_missing(mammodissect: Callable[..., Done]) -> None:
    done = mammodissect("migrate")
    assert (done.status, done.stderr) == (2, "mammodissect: DATABASE_URL is not set. Set it in the environment.\n")


def test_help_lists_the_commands(mammodissect: Callable[..., Done]) -> None:
    done = mammodissect("--help")
    assert done.status == 0
    for command in ("up", "demo", "dissect", "samples", "report", "fit-dissector", "fit-phantom-targets", "migrate"):
        assert command in done.stdout
