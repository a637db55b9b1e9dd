"""`mammodissect evaluate` on phantoms: from a manifest to figures, and what a caller reads when something is wrong."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cli.main import main
from service.probes.phantoms import write_phantoms
from tests.engine.small_networks import ARCHITECTURE, LAYERS, write_target
from tests.reports.page import Page

EXAMS = 40

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 4 * EXAMS, seed=5, size=(96, 64))


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The command in this process: its status and what it wrote to standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["mammodissect", "evaluate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_a_folder_is_evaluated_from_manifest_to_reports(
    manifest: Path, tmp_path: Path, evaluate: Callable[..., tuple[int, str]]
) -> None:
    out = tmp_path / "out"
    options = {
        "out": str(out),
        "checkpoint": str(write_target(tmp_path).checkpoint),
        "architecture": ARCHITECTURE,
        "layers": ",".join(LAYERS),
        "height": "64",
        "width": "64",
        "draws": "50",
        "resamples": "5",
        "device": "cpu",
    }
    status, printed = evaluate(str(manifest.parent), *(f"--{name}={value}" for name, value in options.items()))
    assert status == 0, printed
    assert "survive" in printed
    found = json.loads((out / "evaluation.json").read_text())
    assert [half["patients"] for half in found["halves"].values()] == [EXAMS / 2, EXAMS / 2]
    assert found["dissector"]["images"] == 4 * EXAMS / 2
    assert found["dissector"]["retrieval"]["reports"] > 0
    made = [(one["manifest"]["target"]["shuffled"], one["concept_set"], one["method"]) for one in found["dissections"]]
    assert made == [
        (None, "bi-rads", "contrast"),
        (None, "bi-rads", "soft_wpmi"),
        (None, "findings", "contrast"),
        (None, "findings", "soft_wpmi"),
        (1, "bi-rads", "contrast"),
        (1, "findings", "contrast"),
    ]
    for one in found["dissections"]:
        total = one["figures"]["total"]
        assert one["manifest"]["method"]["top_k"] == 10, "an eighth of the images"
        assert one["manifest"]["evidence"]["units"] == EXAMS / 2
        assert {finding["verdict"] for finding in one["manifest"]["evidence"]["qualifications"]} & {"qualified"}
        assert list(one["figures"]["layers"]) == list(LAYERS)
        assert total["by_both"] <= min(total["by_exam"], total["by_image"]) <= total["living"]
    page = Page((out / "findings.html").read_text())
    assert {row[1] for row in page.rows["layers"]} == {"layer", *LAYERS}


def written(folder: Path, manifest: Path, change: Callable[[Rows], Rows]) -> Path:
    with manifest.open(newline="") as file:
        rows = change([row | {"image": str(manifest.parent / row["image"])} for row in csv.DictReader(file)])
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def without(*columns: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{name: value for name, value in row.items() if name not in columns} for row in rows]


CHANGES: Mapping[str, tuple[Callable[[Rows], Rows], str]] = {
    "no reports": (without("text"), "Add a column 'text'"),
    "too few patients": (lambda rows: rows[: 4 * 39], "There are 39 patients; an evaluation needs at least 40"),
    "nobody's images": (without("patient_id", "exam_id"), "names neither patient nor exam"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_will_not_do_is_refused_before_any_work(
    change: str, manifest: Path, tmp_path: Path, evaluate: Callable[..., tuple[int, str]]
) -> None:
    changed, hint = CHANGES[change]
    out = tmp_path / "out"
    status, printed = evaluate(str(written(tmp_path, manifest, changed)), "--out", str(out))
    assert status == 2
    assert hint in printed
    assert not out.exists()


def test_a_folder_without_manifest_and_an_architecture_without_weights_are_refused(
    tmp_path: Path, manifest: Path, evaluate: Callable[..., tuple[int, str]]
) -> None:
    assert "neither a folder with a manifest.csv nor a manifest" in evaluate(str(tmp_path))[1]
    assert "Name the weights file" in evaluate(str(manifest), "--architecture", "timm/resnet50")[1]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--checkpoint", "s3://bucket/w.pt", "--architecture", ARCHITECTURE], "opens files of this machine only"),
        (["--checkpoint", "models:/screening/3", "--architecture", ARCHITECTURE], "a worker fetches it"),
        (["--weights", "state_dict_ema"], "has no set of weights 'state_dict_ema'"),
        (["--input", "channels=1"], "Give channels 3"),
        (["--input", "height=tall"], "height"),
    ],
)
def test_a_target_that_cannot_be_opened_is_refused_before_any_work(
    tmp_path: Path, manifest: Path, evaluate: Callable[..., tuple[int, str]], options: list[str], hint: str
) -> None:
    out = tmp_path / "out"
    status, printed = evaluate(str(manifest), "--out", str(out), *options)
    assert status == 2
    assert hint in " ".join(printed.split())
    assert not out.exists()
