"""The paper's tables against the golden numbers of section F, from dissections and from the published files."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from service.analysis.export import write_export
from service.analysis.paper import NamedUnits, PaperTables, named_units, paper_tables
from service.analysis.published import read_published
from service.domain.concepts import Concept, ConceptSet
from service.domain.layers import published_layer
from service.errors import InvalidInput
from tests.analysis.published_tables import NETWORKS, Network, concept_set, dissection, expected, raw_table

HEADER = "layer,unit,description,similarity,images\n"


def from_dissections() -> list[NamedUnits]:
    return [named_units(network, dissection(network, concept_set()).layers) for network in NETWORKS]


def from_files() -> list[NamedUnits]:
    return [read_published(raw_table(network), network=network, field="table")[0] for network in NETWORKS]


def layers_of(tables: PaperTables, value: Any) -> dict[str, dict[str, Any]]:
    return {network.network: {layer.layer: value(layer) for layer in network.layers} for network in tables.networks}


@pytest.mark.parametrize("networks", [from_dissections, from_files])
def test_thresholds_counts_and_categories_are_the_published_ones(networks: Any) -> None:
    tables = paper_tables(networks(), concept_set())
    golden = expected()

    local = layers_of(tables, lambda layer: layer.local_threshold)
    for network in NETWORKS:
        assert local[network] == pytest.approx(golden["thresholds"]["local"][network], abs=1e-12)

    for thresholds in layers_of(tables, lambda layer: layer.global_threshold).values():
        assert thresholds == pytest.approx(golden["thresholds"]["global"], abs=1e-12)

    counts = layers_of(tables, lambda layer: {"mammography": layer.mammographic, "non_mammography": layer.other})
    assert counts == golden["counts_global_threshold"]

    top = layers_of(tables, lambda layer: [[count.category, count.units] for count in layer.top_broad_categories])
    for network in NETWORKS:
        for name, categories in golden["top3_broad_categories_global_threshold"][network].items():
            assert sorted(top[network][name]) == sorted(categories)


def test_units_are_sorted_as_published_and_say_which_thresholds_they_meet() -> None:
    units = paper_tables(from_files(), concept_set()).networks[0].units

    assert [unit.layer for unit in units] == sorted(unit.layer for unit in units)
    for before, after in itertools.pairwise(units):
        assert before.layer != after.layer or before.score >= after.score
    assert any(unit.meets_local and not unit.meets_global for unit in units)
    assert sum(unit.category is None for unit in units) > 0


def test_a_layer_that_one_network_lacks_and_an_unknown_concept_are_said() -> None:
    mammo, general = from_files()
    fewer = NamedUnits("fewer", tuple(unit for unit in general.units if not unit.layer.endswith("38")))
    known = ConceptSet("known", (Concept("red leaf"),))

    tables = paper_tables([mammo, fewer], known)

    assert any("image_encoder._blocks[38]" in note for note in tables.notes)
    assert any("not in the concept set" in note for note in tables.notes)
    assert any("marks no concept as not mammographic" in note for note in tables.notes)
    assert [layer.layer for layer in tables.networks[1].layers] == [
        "image_encoder._blocks[19]",
        "image_encoder._blocks[2]",
    ]


def test_concepts_of_which_nothing_is_said_are_counted() -> None:
    tables = paper_tables(from_files(), concept_set())
    units = [unit for network in tables.networks for unit in network.units]
    uncategorised = {unit.concept for unit in units if unit.category is None}

    expected_start = f"{len(uncategorised)} of {len({unit.concept for unit in units})} concepts are not in"
    assert uncategorised
    assert any(note.startswith(expected_start) for note in tables.notes)


def test_the_same_concepts_are_counted_unit_by_unit() -> None:
    mammo, general = from_files()
    itself = NamedUnits("itself", mammo.units)

    same = paper_tables([mammo, itself, general], concept_set()).same_concepts

    assert all(layer.same == layer.units == 60 for layer in same if layer.network == "itself")
    concept_of_unit = {(unit.layer, unit.unit): unit.concept for unit in mammo.units}
    by_hand = sum(concept_of_unit[unit.layer, unit.unit] == unit.concept for unit in general.units)
    assert sum(layer.same for layer in same if layer.network == "general") == by_hand


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_exported_is_imported(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "neurons.csv"
    write_export(dissection(network, concept_set()), concept_set(), path, "published")

    read, _ = read_published(path, network=network, field="table")
    original, _ = read_published(raw_table(network), network=network, field="table")

    named = {(unit.layer, unit.unit): unit.concept for unit in read.units}
    assert named == {(unit.layer, unit.unit): unit.concept for unit in original.units}


def test_clip_dissects_layout_and_dead_units_are_read(tmp_path: Path) -> None:
    path = tmp_path / "descriptions.csv"
    path.write_text(
        "layer,unit,description,similarity\nlayer4,0,dog,0.25\nlayer4,1,red leaf,tensor(0.5)\nlayer4,2,a,nan\n"
    )

    read, without_score = read_published(path, network="general", field="table")

    assert [(unit.concept, unit.score) for unit in read.units] == [("dog", 0.25), ("red leaf", 0.5)]
    assert without_score == 1


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        (",0,\"['a']\",[0.5],", "layer", "no layer"),
        ("l,-1,\"['a']\",[0.5],", "unit", "'-1'"),
        ("l,1.0,\"['a']\",[0.5],", "unit", "'1.0'"),
        ("l,0,\"['a', 'b']\",[0.5],", "similarity", "2 concepts and 1 scores"),
        ("l,0,\"['a', \",[0.5],", "description", "cannot be read"),
        ("l,0,[],[0.5],", "description", "no concept"),
        ("l,0,,[0.5],", "description", "no concept"),
        ("l,0,\"['a']\",[x],", "similarity", "not finite numbers"),
        ("l,0,\"['a']\",[inf],", "similarity", "not finite numbers"),
        ("l,0,\"['a']\",,", "similarity", "not finite numbers"),
        ("l,0,\"['a', 'b']\",[0.1 0.5],", "similarity", "not in order"),
        ("l,0,\"['a']\",[0.5],\nl,0,\"['b']\",[0.5],", "unit", "earlier row"),
    ],
)
def test_what_is_wrong_in_a_result_file_is_named_by_row_and_column(
    tmp_path: Path, row: str, column: str, said: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(HEADER + row + "\n")

    with pytest.raises(InvalidInput, match=said) as refused:
        read_published(path, network="x", field="tables")

    assert str(refused.value.value).endswith(f", {column}")
    assert refused.value.field == "tables"


def test_a_file_of_dead_units_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(HEADER + "l,0,\"['a']\",[nan],\n")

    with pytest.raises(InvalidInput, match="No unit of the result file has a score"):
        read_published(path, network="x", field="tables")


def test_a_table_of_something_else_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("image,findings\na.png,mass\n")

    with pytest.raises(
        InvalidInput, match="has no column layer, unit, description, similarity; it has image, findings"
    ):
        read_published(path, network="x", field="tables")


def test_the_published_spelling_of_layers() -> None:
    assert published_layer("image_encoder._blocks.38") == "image_encoder._blocks[38]"
    assert published_layer("layer4.0.conv1") == "layer4[0].conv1"
