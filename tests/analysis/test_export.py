import csv
import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pyarrow import parquet

from service.analysis.export import PUBLISHED_COLUMNS, TIDY_COLUMNS, ExportFormat, write_export
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import Evidence, LabelStability, Significance, drop_absent_evidence
from service.domain.localisation import AgainstExchanged, Localisation
from service.domain.neurons import (
    ActivationSummary,
    Dissection,
    LayerDissection,
    Neuron,
    RankedConcept,
    TopImage,
    drop_absent_frames,
    drop_absent_places,
)
from service.domain.probes import Box
from service.errors import InvalidInput
from tests.analysis.published_tables import NETWORKS, Network, concept_set, dissection, raw_table

FORMATS: tuple[ExportFormat, ...] = ("published", "csv", "parquet", "json")
WHERE_COLUMNS = (
    "where_finding",
    *(f"{figure}{end}" for figure in ("pointing", "iou", "map_auroc") for end in ("", "_exchanged", "_p")),
)
CONCEPTS = ConceptSet(
    "small",
    (
        Concept("mass, 'round'", "shape", "findings", True, ("ball",)),
        Concept('the "halo" sign', None, None, None),
        Concept("grünes Blatt", "plants", "everyday", False),
    ),
)
ACTIVATION = ActivationSummary(0.125, 0.5, -1.0, 2.0)
NAMED = Neuron(
    unit=0,
    dead=False,
    activation=ACTIVATION,
    concepts=(
        RankedConcept(0, "mass, 'round'", float(np.float32(12.3456789))),
        RankedConcept(1, 'the "halo" sign', float(np.float32(1 / 3))),
        RankedConcept(2, "grünes Blatt", -0.1),
    ),
    images=(TopImage("a;b", 7, 2.0, Box(1, 2, 3, 4)), TopImage("c", 12, 1.5)),
    evidence=Evidence(Significance(0.001, 3.5, 0.01), LabelStability(0.75, None, ("mass, 'round'",))),
)
CHANCE = replace(NAMED, unit=5, evidence=Evidence(Significance(0.5, 0.1, 0.5)))
DEAD = Neuron(unit=1, dead=True, activation=ActivationSummary(0.0, 0.0, 0.0, 0.0))
SMALL = Dissection((LayerDissection("blocks.2.conv.0", (NAMED, DEAD)), LayerDissection("head", (CHANCE,))), 20, (3, 9))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_published_table_is_written_back_byte_for_byte(network: Network, tmp_path: Path) -> None:
    concepts = concept_set()
    write_export(dissection(network, concepts), concepts, tmp_path / "out.csv", "published")
    assert (tmp_path / "out.csv").read_bytes() == raw_table(network).read_bytes()


def test_the_published_layout_spells_layers_with_brackets_and_leaves_dead_neurons_empty(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_export(SMALL, CONCEPTS, path, "published")
    named, dead, other = rows_of(path)
    assert tuple(named) == PUBLISHED_COLUMNS
    assert named == {
        "layer": "blocks[2].conv[0]",
        "unit": "0",
        "description": str(["mass, 'round'", 'the "halo" sign', "grünes Blatt"]),
        "similarity": "[12.345679    0.33333334 -0.1       ]",
        "images": "[ 6 11]",
    }
    assert [dead[column] for column in PUBLISHED_COLUMNS] == ["blocks[2].conv[0]", "1", "[]", "[]", "[]"]
    assert (other["layer"], other["unit"]) == ("head", "5")


def test_many_scores_are_all_printed_whatever_numpy_is_told_elsewhere(tmp_path: Path) -> None:
    ranked = tuple(RankedConcept(0, "mass, 'round'", float(score)) for score in range(2_000))
    layer = LayerDissection("head", (replace(NAMED, concepts=ranked),))
    with np.printoptions(precision=1, threshold=5, linewidth=20, floatmode="fixed"):
        write_export(Dissection((layer,), 20, ()), CONCEPTS, tmp_path / "out.csv", "published")
        write_export(SMALL, CONCEPTS, tmp_path / "small.csv", "published")
    scores = rows_of(tmp_path / "out.csv")[0]["similarity"].strip("[]").split()
    assert [float(score) for score in scores] == list(range(2_000))
    assert rows_of(tmp_path / "small.csv")[0]["similarity"] == "[12.345679    0.33333334 -0.1       ]"


def test_tidy_csv_has_a_line_for_each_neuron_and_rank(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_export(SMALL, CONCEPTS, path, "csv")
    rows = rows_of(path)
    assert tuple(rows[0]) == TIDY_COLUMNS
    assert [(row["layer"], row["unit"], row["rank"]) for row in rows] == [
        ("blocks.2.conv.0", "0", "1"),
        ("blocks.2.conv.0", "0", "2"),
        ("blocks.2.conv.0", "0", "3"),
        ("blocks.2.conv.0", "1", ""),
        ("head", "5", "1"),
        ("head", "5", "2"),
        ("head", "5", "3"),
    ]
    assert [row["concept"] for row in rows[:4]] == ["mass, 'round'", 'the "halo" sign', "grünes Blatt", ""]
    assert [row["mammographic"] for row in rows[:4]] == ["true", "", "false", ""]
    assert [(row["category"], row["broad_category"]) for row in rows[:2]] == [("shape", "findings"), ("", "")]
    assert [float(row["score"]) for row in rows[:3]] == [ranked.score for ranked in NAMED.concepts]
    assert [row["label"] for row in rows[2:5]] == ["mass, 'round'", "", "no concept"]
    assert [row["significant"] for row in rows[2:5]] == ["true", "", "false"]
    assert [(row["p"], row["q"], row["z"], row["stability"]) for row in rows[2:5]] == [
        ("0.001", "0.01", "3.5", "0.75"),
        ("", "", "", ""),
        ("0.5", "0.5", "0.1", ""),
    ]
    assert [row["dead"] for row in rows[2:5]] == ["false", "true", "false"]
    assert [row["images"] for row in rows[2:5]] == ["7 12", "", "7 12"]
    assert [float(rows[0][f"activation_{name}"]) for name in asdict(ACTIVATION)] == [0.125, 0.5, -1.0, 2.0]


def test_parquet_holds_the_tidy_columns_with_types(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    write_export(SMALL, CONCEPTS, path, "parquet")
    table = parquet.read_table(path)
    assert tuple(table.column_names) == TIDY_COLUMNS
    assert table.schema.metadata[b"concepts"].decode() == CONCEPTS.digest
    rows = table.to_pylist()
    assert len(rows) == 7
    assert rows[0] == {
        "layer": "blocks.2.conv.0",
        "unit": 0,
        "dead": False,
        "label": "mass, 'round'",
        "significant": True,
        "p": 0.001,
        "q": 0.01,
        "z": 3.5,
        "stability": 0.75,
        "verdict": None,
        "name": None,
        "level": None,
        "error": None,
        "explained": None,
        "rank": 1,
        "concept": "mass, 'round'",
        "score": NAMED.concepts[0].score,
        "category": "shape",
        "broad_category": "findings",
        "mammographic": True,
        "activation_mean": 0.125,
        "activation_std": 0.5,
        "activation_minimum": -1.0,
        "activation_maximum": 2.0,
        "images": [7, 12],
        **dict.fromkeys(WHERE_COLUMNS),
    }
    assert (rows[3]["dead"], rows[3]["rank"], rows[3]["concept"], rows[3]["images"]) == (True, None, None, [])


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_exports_say_where_a_neuron_looks(form: ExportFormat, tmp_path: Path) -> None:
    looks = Localisation(
        finding="mass",
        from_label=True,
        images=40,
        exams=20,
        cells=(12, 8),
        pointing=AgainstExchanged(0.75, 0.25, 0.001),
        iou=AgainstExchanged(0.5, 0.125, 0.002),
        quantiles=(0.95, 0.9),
        auroc=AgainstExchanged(0.875, 0.5, 0.003),
    )
    evidence = replace(NAMED.evidence or Evidence(), localisations=(looks,))
    layer = LayerDissection("head", (replace(NAMED, evidence=evidence),))
    path = tmp_path / "out"
    write_export(Dissection((layer,), 20, ()), CONCEPTS, path, form)

    if form == "json":
        neuron = json.loads(path.read_text(encoding="utf-8"))["layers"][0]["neurons"][0]
        assert neuron["evidence"]["localisations"][0]["pointing"] == {"value": 0.75, "exchanged": 0.25, "p": 0.001}
        return
    row = parquet.read_table(path).to_pylist()[0] if form == "parquet" else rows_of(path)[0]
    figures = [0.75, 0.25, 0.001, 0.5, 0.125, 0.002, 0.875, 0.5, 0.003]
    assert row["where_finding"] == "mass"
    assert [float(row[name]) for name in WHERE_COLUMNS[1:]] == figures


def test_json_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_export(SMALL, CONCEPTS, path, "json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["concept_set"]["digest"] == CONCEPTS.digest
    assert [concept["text"] for concept in written["concept_set"]["concepts"]] == list(CONCEPTS.texts)
    assert (written["images_used"], written["rows_skipped"]) == (20, [3, 9])

    layers = [asdict(layer) for layer in SMALL.layers]
    for layer in layers:
        for neuron in layer["neurons"]:
            drop_absent_frames(neuron["images"])
            drop_absent_places(neuron["images"])
            if neuron["evidence"] is not None:
                drop_absent_evidence(neuron["evidence"])
    assert written["layers"] == json.loads(json.dumps(layers))


@pytest.mark.parametrize("form", FORMATS)
def test_a_dissection_without_layers_is_a_file_without_lines(form: ExportFormat, tmp_path: Path) -> None:
    path = tmp_path / "out"
    write_export(Dissection((), 20, ()), CONCEPTS, path, form)
    contents: dict[ExportFormat, Callable[[], list[Any]]] = {
        "published": lambda: rows_of(path),
        "csv": lambda: rows_of(path),
        "parquet": lambda: parquet.read_table(path).to_pylist(),
        "json": lambda: json.loads(path.read_text())["layers"],
    }
    assert contents[form]() == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_there_is_replaced_in_one_step(form: ExportFormat, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    with path.open() as before:
        write_export(SMALL, CONCEPTS, path, form)
        assert before.read() == "old"
    assert path.read_bytes() != b"old"
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("form", FORMATS)
def test_a_failure_leaves_the_old_file_and_nothing_else(form: ExportFormat, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    layers = (*SMALL.layers, LayerDissection("lone surrogate \ud800", (NAMED,)))
    with pytest.raises(UnicodeEncodeError):
        write_export(Dissection(layers, 20, ()), CONCEPTS, path, form)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    broken = replace(NAMED, concepts=(RankedConcept(0, "mass, 'round'", float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_export(Dissection((LayerDissection("a", (broken,)),), 20, ()), CONCEPTS, tmp_path / "out", "json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_folder_that_is_not_there_is_refused(form: ExportFormat, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written") as caught:
        write_export(SMALL, CONCEPTS, tmp_path / "nowhere" / "out", form)
    assert caught.value.field == "path"


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Formats are published, csv, parquet, json"):
        write_export(SMALL, CONCEPTS, tmp_path / "out", cast("ExportFormat", "xlsx"))
