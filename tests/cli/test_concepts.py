"""`mammodissect concepts`, and `dissect` with a list and a workbook of categories."""

import json
from pathlib import Path

import openpyxl
import pytest

from cli.main import main
from tests.engine.small_networks import ARCHITECTURE, write_dissector
from tests.pipelines.small_jobs import write_folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> "Command":
    return Command(monkeypatch)


class Command:
    """Runs `mammodissect` in this process; its exit status."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str | Path) -> int:
        self._monkeypatch.setattr("sys.argv", ["mammodissect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)


def write_words(folder: Path) -> tuple[Path, Path]:
    """A list of concepts, and a workbook of their categories."""
    (folder / "words.txt").write_text("round mass\nno mass\nround masses\ndog\nleft breast\n")
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Findings"
    for cells in [["shape", "other"], ["round mass", "dog"], ["no mass", "cat"]]:
        sheet.append(cells)
    sheet = book.create_sheet("Everyday")
    sheet.append(["animals"])
    sheet.append(["dog"])
    book.save(folder / "categories.xlsx")
    return folder / "words.txt", folder / "categories.xlsx"


def test_lint_says_what_is_weak(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, categories = write_words(tmp_path)
    assert command("concepts", "lint", words, "--categories", categories, "--control", "Everyday") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "The categories are those of the sheets 'Findings', 'Everyday'."
    assert said[1] == "Concepts without a category: 2 ('round masses', 'left breast')"
    assert said[2] == "Texts of the table that are not concepts: 1 ('cat')"
    assert [line for line in said if line.endswith(":") and not line.startswith(" ")] == [
        "negation:", "laterality:", "near duplicate:", "two categories:"
    ]  # fmt: skip
    assert said[-1] == "4 remarks on 5 concepts."

    assert command("concepts", "lint", words, "--strict") == 1
    assert command("concepts", "lint", "bi-rads") == 0
    assert command("concepts", "lint", words, "--control", "Everyday") == 2
    assert command("concepts", "lint", tmp_path / "nothing.txt") == 2


def test_lint_asks_a_dissector(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dissector(tmp_path).path
    (tmp_path / "words.json").write_text(json.dumps(["mass", "Mass!", "dog " + "and cat " * 30]))
    assert command("concepts", "lint", tmp_path / "words.json", "--dissector", folder, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["concepts"] == 3
    kinds = [(remark["weakness"], len(remark["concepts"])) for remark in printed["remarks"]]
    assert ("cut text", 1) in kinds


def test_diff_says_what_happened(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("mass\ndog\n")
    (tmp_path / "b.csv").write_text("text;category\nmasses;shape\ndog;animals\n")
    assert command("concepts", "diff", tmp_path / "a.txt", tmp_path / "b.csv") == 0
    assert capsys.readouterr().out.splitlines() == [
        "+ masses",
        "- mass",
        "? 'mass' may be 'masses' now (plural)",
        "~ dog: category was None, is 'animals'",
        "1 added, 1 removed, 1 field changed, 0 moved, 0 the same.",
    ]
    assert command("concepts", "diff", tmp_path / "a.txt", tmp_path / "a.txt", "--json") == 0
    assert json.loads(capsys.readouterr().out)["same"] == 2


def test_dissect_takes_a_list_its_workbook_and_a_manifest_of_excel(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path)
    words, categories = write_words(tmp_path)
    rows = (folder / "manifest.csv").read_text()
    (folder / "manifest.txt").write_bytes(rows.replace(",", ";").encode("utf-16"))
    arguments: list[str | Path] = [
        "dissect", "--checkpoint", folder / "target.safetensors", "--architecture", ARCHITECTURE,
        "--dissector", folder / "dissector", "--probe-set", folder / "manifest.txt", "--draws", "0",
        "--resamples", "0", "--halves", "0", "--layers", "layer4.0", "--out", folder / "result.json",
        "--concept-set", words, "--categories", categories, "--control", "Everyday", "--report", folder / "report.html",
    ]  # fmt: skip
    assert command(*arguments) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "About the manifest: Its text is read as UTF-16." in said
    assert "About the concept set: The categories are those of the sheets 'Findings', 'Everyday'." in said
    assert "About the manifest: Its text is read as UTF-16." in (folder / "report.html").read_text()

    concepts = json.loads((folder / "result.json").read_text())["concept_set"]["concepts"]
    assert [(concept["text"], concept["category"], concept["mammographic"]) for concept in concepts] == [
        ("round mass", "shape", True),
        ("no mass", "shape", True),
        ("round masses", None, None),
        ("dog", "animals", False),
        ("left breast", None, None),
    ]
