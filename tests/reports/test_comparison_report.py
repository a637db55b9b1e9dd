"""The report on a comparison: gains beside noise, nothing where nothing changed, and what could not be judged."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from cli.questions import changes_table
from service.domain.comparisons import CategoryRow, Change, Comparison, Composition, Scope
from service.reports.comparison import ComparisonReport, comparison_html, comparison_json, report_comparison
from tests.reports.examples import CONCEPTS, FACTS, LAYERS, example_comparison, example_layers, untested
from tests.reports.page import Page

TUNED = replace(FACTS, target="tuned-b5@1")


@pytest.fixture(scope="module")
def result() -> Comparison:
    return example_comparison(example_layers(seed=9))


@pytest.fixture(scope="module")
def report(result: Comparison) -> ComparisonReport:
    return report_comparison("c-1", [FACTS, TUNED], result)


def test_figures_and_twin_agree(report: ComparisonReport) -> None:
    page = Page(comparison_html(report))
    twin = json.loads(comparison_json(report))
    network = twin["result"]["network"]
    named = {row["name"]: row for grouping in ("categories", "broad_categories") for row in network[grouping]["rows"]}
    rows = [row for row in page.rows["gains"] if row[0] in named]
    assert len(rows) == len(named)
    for name, reference, other, gain, *_ in rows:
        assert [int(reference), int(other)] == named[name]["neurons"]
        assert float(gain.replace("\N{MINUS SIGN}", "-")) == named[name]["changes"][0]["gain"]
    assert [row[:5] for row in page.rows["networks"][1:]] == [
        [name, str(units), str(labelled), f"{labelled / units:.0%}".replace("%", " %"), str(len(only))]
        for name, units, labelled, only in zip(
            ["screening-b5@3 (reference)", "tuned-b5@1"],
            network["units"],
            network["labelled"],
            network["only"],
            strict=True,
        )
    ]
    layers = [row for row in page.rows["layers"] if row[1:2] and row[1] in {*LAYERS, "all layers together"}]
    scopes = [*twin["result"]["layers"], network]
    told = [f"{scope['categories']['divergence'][0]['value']:.3f}" for scope in scopes]
    assert [row[2].split(" ")[0] for row in layers[: len(scopes)]] == told
    churns = [scope["churn"][0] for scope in scopes]
    assert [[row[2], row[-1].split(" ")[0]] for row in layers[len(scopes) :]] == [
        [str(churn["both"]), "\N{EN DASH}" if churn["both"] == 0 else f"{churn['semantic']['value']:.3f}"]
        for churn in churns
    ]
    assert [sentence for sentence in (*twin["summary"], *twin["limits"]) if sentence not in page.text] == []
    assert all(concept in page.text for only in network["only"] for concept in only[:60])


def test_only_changes_beyond_the_noise_are_told(result: Comparison) -> None:
    assert result.by_concept is not None
    first, second, *_ = result.by_concept.rows
    (change,) = first.changes
    grown = replace(first, changes=(replace(change, gain=3.0, exceeds_noise=True),))
    still = replace(second, changes=(replace(change, gain=3.0, exceeds_noise=False),))
    changed = with_changes(replace(result, by_concept=replace(result.by_concept, rows=(grown, still))), -4, 135)
    report = report_comparison("c-1", [FACTS, TUNED], changed)
    beyond = [row for row in report.result.network.categories.rows if row.changes[0].exceeds_noise]
    told = report.summary[1]
    assert all(f"{row.name} (" in told for row in beyond)
    assert "beyond the noise of exams and units (q <= 0.05), gains none; losses" in told
    assert f"Single concepts beyond it: gains {first.name} (+3); losses none." in told
    page = Page(comparison_html(report))
    assert f"where the change is beyond the noise: {first.name} (+3)." in page.text
    full = [one for tag, one in page.tags if tag == "circle" and one["fill"] != "#fff"]
    broad = [row for row in report.result.network.broad_categories.rows if row.changes[0].exceeds_noise]
    assert len(full) == len(beyond) + len(broad)


def test_a_comparison_of_an_earlier_release_is_told_by_its_halves(result: Comparison) -> None:
    earlier = replace(with_changes(result, -4, 135), judged_by="halves", by_concept=None)
    report = report_comparison("c-1", [FACTS, TUNED], earlier)
    assert "beyond the noise of the exams, gains none; losses" in report.summary[1]
    assert any("between two halves of the exams within one network" in sentence for sentence in report.limits)
    page = Page(comparison_html(report))
    assert [row[6] for row in page.rows["gains"] if row[0] in {"category", "broad category"}] == ["noise", "noise"]
    newer = Page(comparison_html(report_comparison("c-1", [FACTS, TUNED], result)))
    assert [row[6] for row in newer.rows["gains"] if row[0] in {"category", "broad category"}] == ["halves", "halves"]


def test_a_copy_changes_nothing() -> None:
    report = report_comparison("c-1", [FACTS, TUNED], example_comparison(example_layers()))
    assert "tuned-b5@1 against screening-b5@3: no category gains or loses a single neuron." in report.summary
    assert any(" 0 % have another label" in sentence for sentence in report.summary)
    assert any("moved by 0.00 on average" in sentence for sentence in report.summary)
    page = Page(comparison_html(report))
    assert "No category gains or loses a single neuron." in page.text
    assert "None: every concept that it represents, another network represents, too." in page.text


def test_units_of_unlike_architectures_are_not_paired(result: Comparison) -> None:
    def unpaired(scope: Scope) -> Scope:
        return replace(scope, churn=(None,))

    alone = replace(result, network=unpaired(result.network), layers=tuple(map(unpaired, result.layers)))
    report = report_comparison("c-1", [FACTS, TUNED], alone)
    assert "Units are not paired: the architectures differ." in Page(comparison_html(report)).text
    assert any("cannot be paired" in sentence for sentence in report.summary)


def test_networks_of_one_name_are_told_apart() -> None:
    result = example_comparison(example_layers(seed=9), example_layers())
    report = report_comparison("c-1", [FACTS, TUNED, FACTS], result)
    assert report.names == ("screening-b5@3 (no. 1)", "tuned-b5@1", "screening-b5@3 (no. 3)")
    assert "What 2 networks gained and lost" in Page(comparison_html(report)).text


def test_untested_labels_are_compared_under_a_warning() -> None:
    result = example_comparison([untested(layer) for layer in example_layers(seed=9)])
    report = report_comparison("c-1", [FACTS, TUNED], result)
    page = Page(comparison_html(report))
    assert "without a noise floor to judge them by" in report.summary[1]
    assert all(note in page.text for note in result.notes)
    assert "best concepts are counted, which even pure noise has" in page.text


def test_the_file_needs_nothing_else_and_names_cannot_become_markup(result: Comparison) -> None:
    evil = "<script>alert('&\"')</script>"
    concepts = result.network.only
    network = replace(result.network, only=((evil, *concepts[0]), *concepts[1:]))
    facts = [replace(FACTS, target=evil, manifest={evil: evil}), TUNED]
    html = comparison_html(report_comparison(evil, facts, replace(result, network=network, notes=(evil,))))
    page = Page(html)
    assert "<script" not in html
    assert page.text.count(evil) > 5
    assert page.attributes("src") == page.attributes("style") == []
    assert {link.removeprefix("#") for link in page.attributes("href")} <= set(page.attributes("id"))
    assert CONCEPTS.name in page.text


def with_changes(result: Comparison, fine: float, broad: float, *, layer_only: bool = False) -> Comparison:
    """The comparison, with nothing changed but one category and one broad category by that much, beyond the noise."""

    def composed(composition: Composition, gain: float) -> Composition:
        still = Change(0.0, 0.0, 0.0, 1.0, exceeds_noise=False, test="mcnemar", p=1.0, q=1.0)
        moved = Change(gain, gain, gain, 1.0, exceeds_noise=gain != 0, test="mcnemar", p=0.01, q=0.01)
        rows = [replace(row, changes=(moved if place == 0 else still,)) for place, row in enumerate(composition.rows)]
        return replace(composition, rows=tuple(rows))

    def changed(scope: Scope, *, really: bool) -> Scope:
        return replace(
            scope,
            categories=composed(scope.categories, fine if really else 0.0),
            broad_categories=composed(scope.broad_categories, broad if really else 0.0),
        )

    return replace(
        result,
        network=changed(result.network, really=not layer_only),
        layers=tuple(changed(layer, really=place == 0) for place, layer in enumerate(result.layers)),
    )


@pytest.mark.parametrize(
    ("fine", "broad", "told", "not_told"),
    [
        (0, 0, ["no category gains or loses a single neuron"], ["beyond"]),
        (
            0,
            135,
            ["broad categories: gains {broad} (+135); losses none", "No single category changes"],
            ["no category"],
        ),
        (0, -135, ["gains none; losses {broad} (\N{MINUS SIGN}135)", "No single category changes"], ["no category"]),
        (4, 0, ["gains {fine} (+4); losses none", "No broad category changes"], ["no category"]),
        (
            -4,
            135,
            ["losses {fine} (\N{MINUS SIGN}4)", "Broad categories beyond it: gains {broad} (+135)"],
            ["o category"],
        ),
    ],
)
def test_summary_tables_and_marks_tell_the_same(
    result: Comparison, fine: float, broad: float, told: list[str], not_told: list[str]
) -> None:
    changed = with_changes(result, fine, broad)
    report = report_comparison("c-1", [FACTS, TUNED], changed)
    names = {
        "fine": changed.network.categories.rows[0].name,
        "broad": changed.network.broad_categories.rows[0].name,
    }
    assert [one for one in told if one.format(**names) not in report.summary[1]] == []
    assert [one for one in not_told if one in report.summary[1]] == []

    moved = {names["fine"]: fine, names["broad"]: broad}
    page = Page(comparison_html(report))
    full = [one for tag, one in page.tags if tag == "circle" and one["fill"] != "#fff"]
    assert len(full) == sum(gain != 0 for gain in moved.values())

    shown = Console(width=200, file=StringIO(), record=True)
    shown.print(changes_table(changed, ["a", "b"]))
    lines = shown.export_text().splitlines()[: 4 + len(rows_of(changed))]
    marked = {line.strip("│ ").split("  ")[0].removesuffix(" (broad)") for line in lines if "*" in line}
    assert marked == {name for name, gain in moved.items() if gain}


def rows_of(result: Comparison) -> list[CategoryRow]:
    return [*result.network.categories.rows, *result.network.broad_categories.rows]


def test_what_only_a_layer_shows_is_told_as_its_map_shows_it(result: Comparison) -> None:
    changed = with_changes(result, 4, 9, layer_only=True)
    report = report_comparison("c-1", [FACTS, TUNED], changed)
    layer = changed.layers[0]
    fine, broad = layer.categories.rows[0].name, layer.broad_categories.rows[0].name
    assert "over all layers, no category, broad or not, changes" in report.summary[1]
    assert f"single layers alone: {broad} in {layer.layer} (+9), {fine} in {layer.layer} (+4)." in report.summary[1]
    cells = [(one.get("class") or "").split() for tag, one in Page(comparison_html(report)).tags if tag == "td"]
    assert sum("gain" in classes for classes in cells) == 2


def test_a_change_that_no_noise_floor_judges_is_no_change_beyond_it(result: Comparison) -> None:
    bare = example_comparison([untested(layer) for layer in example_layers(seed=9)])
    report = report_comparison("c-1", [FACTS, TUNED], bare)
    assert "Broad categories: gains" in report.summary[1]
    assert "beyond" not in report.summary[1]


def test_a_concept_set_with_broad_categories_alone_has_its_gains(result: Comparison) -> None:
    changed = with_changes(result, 0, 135)

    def coarse(scope: Scope) -> Scope:
        return replace(scope, categories=replace(scope.categories, rows=()))

    alone = replace(changed, network=coarse(changed.network), layers=tuple(map(coarse, changed.layers)))
    page = Page(comparison_html(report_comparison("c-1", [FACTS, TUNED], alone)))
    assert "broad categories: gains" in page.text
    assert "No named neuron has a category" not in page.text
    assert any("+135" in row for row in page.rows["gains"])
