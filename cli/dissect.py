"""`mammodissect dissect`: one dissection in this process, without any server."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from cli import autoencoder_options, input_options
from cli.concept_files import HELP, CategoriesOption, ControlOption, read_concepts
from cli.findings import FindingsMapOption, with_findings_map
from cli.layers import LayersOption, read_layers
from cli.local_files import check_local
from cli.progress import ProgressBars
from service.analysis.export import ExportFormat, write_export
from service.domain.concepts import ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.localisation import MOST_GIVEN, LocalisationOptions
from service.domain.manifests import input_warnings
from service.domain.methods import DEFAULT, Method, Pooling, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection, count_verdicts
from service.domain.probes import PatchGrid, ProbeSet, where_in_words
from service.domain.prompts import PLACEHOLDER, Prompts, check_texts
from service.domain.purposes import DEFAULT_PURPOSE, JobPurpose, Purpose
from service.domain.verdicts import DEFAULT_ERROR_LEVEL, GREATEST_ERROR_LEVEL, LEAST_ERROR_LEVEL
from service.errors import InvalidInput
from service.reports.finding_lines import finding_sentences
from service.reports.verdicts import verdict_sentences
from service.reports.where import sum_up_where, where_sentences

if TYPE_CHECKING:
    from service.domain.manifests import JobManifest
    from service.studies.dissection import DissectionPlan


def dissect(
    checkpoint: Annotated[Path, typer.Option(help="Weights file of the target.")],
    architecture: Annotated[str, typer.Option(help="For example mammo-clip/b5, timm/resnet50, efficientnet-lite0.")],
    dissector: Annotated[Path, typer.Option(help="Directory of the dissector.")],
    probe_set: Annotated[Path, typer.Option(help="Manifest of the probe images: a table in any format.")],
    out: Annotated[Path, typer.Option(help="Result file: .json, .csv or .parquet.")],
    csv_layout: Annotated[
        Literal["tidy", "published"],
        typer.Option(help="Columns of a .csv: one line per concept, or those of the paper."),
    ] = "tidy",
    report: Annotated[Path | None, typer.Option(help="Report to write as well: one .html file.")] = None,
    layers: LayersOption = "all",
    concept_set: Annotated[str, typer.Option(help=HELP)] = "bi-rads",
    categories: CategoriesOption = None,
    control: ControlOption = None,
    shuffled: Annotated[
        int | None, typer.Option(min=0, help="As a null: shuffle the target's weights first, with this seed.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the weights file must have.")] = None,
    input_values: Annotated[list[str] | None, typer.Option("--input", help=input_options.HELP)] = None,
    weights: Annotated[
        str | None, typer.Option(help="Which of the file's sets of weights, for example state_dict_ema.")
    ] = None,
    autoencoder: Annotated[list[str] | None, typer.Option(help=autoencoder_options.HELP)] = None,
    patch_size: Annotated[int | None, typer.Option(min=16, help="Cut images into square patches of this side.")] = None,
    patch_stride: Annotated[int | None, typer.Option(min=1, help="Step of the patches; default: their side.")] = None,
    frames: Annotated[
        Literal["middle", "all", "projection"] | None,
        typer.Option(help="What to take of an image with several frames; left out, it is unreadable."),
    ] = None,
    on_unreadable: Annotated[
        Literal["fail", "skip"], typer.Option(help="What to do with an image that cannot be decoded.")
    ] = "fail",
    findings_map: FindingsMapOption = None,
    independent: Annotated[
        str | None,
        typer.Option(help="What counts as independent: patient, exam, image, or a column of the manifest."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only images with these values, as density=C,D; repeat it, and all must hold."),
    ] = None,
    localise: Annotated[
        bool, typer.Option("--localise", help="Hold the maps of labelled neurons against the places of findings.")
    ] = False,
    localise_finding: Annotated[
        list[str] | None,
        typer.Option(help="The same, and against this finding where a label names none that has places; repeat it."),
    ] = None,
    similarity: Annotated[Similarity, typer.Option(help="soft_wpmi is the published one.")] = DEFAULT,
    pooling: Pooling = "avg",
    top_k: Annotated[int | None, typer.Option(min=1, help="Images per neuron that the label rests on.")] = None,
    concepts_per_neuron: Annotated[int, typer.Option(min=1)] = 10,
    images_per_neuron: Annotated[int, typer.Option(min=1)] = 5,
    draws: Annotated[int, typer.Option(min=0, help="Random image sets for p-values; 0: no evidence.")] = 10_000,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples of the exams for stability.")] = 200,
    halves: Annotated[
        int, typer.Option(min=0, help="Splits of the exams that say how well comparisons reproduce.")
    ] = 20,
    error_level: Annotated[
        float | None,
        typer.Option(
            min=LEAST_ERROR_LEVEL,
            max=GREATEST_ERROR_LEVEL,
            help=f"Share of wrong names among those given that verdicts may have. Left out: {DEFAULT_ERROR_LEVEL:.2f}.",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Text with one {} for a concept's name; repeat it, and their embeddings are averaged."),
    ] = None,
    synonyms: Annotated[bool, typer.Option("--synonyms", help="A concept's synonyms count as its text does.")] = False,
    subtract_empty: Annotated[
        bool, typer.Option("--subtract-empty", help="Subtract the similarity to the templates without a name.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 8,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per shard; each begins a new batch.")] = 256,
    purpose: Annotated[
        Purpose | None, typer.Option(help="What it is for, as the report says it. Left out: research.")
    ] = None,
) -> None:
    """Run one dissection in this process and write its neurons to a file."""
    from service.config import read_settings
    from service.probes.measuring import read_patches
    from service.studies.dissection import DissectionPlan, run_dissection
    from service.usecases.parts import part_of, read_where

    check_local(checkpoint)
    file_format = _format(out, csv_layout)
    _check_report(report)

    patches = None if patch_size is None else PatchGrid(patch_size, patch_stride or patch_size)
    concepts, _ = read_concepts(concept_set, categories, control)
    probes = read_patches(
        probe_set,
        name=probe_set.stem,
        patches=patches,
        frames=frames,
        on_unreadable=on_unreadable,
        independent=independent,
    )
    if where:
        probes = part_of(probes, read_where(where, probes))
    probes = with_findings_map(probes, findings_map, concepts)
    prompts = _prompts(template, concepts, synonyms=synonyms, subtract_empty=subtract_empty)
    asked_method = Method.of(similarity, pooling=pooling, top_k=top_k, prompts=prompts)
    method = asked_method if top_k is not None else asked_method.fitted_to(len(probes.items))

    plan = DissectionPlan(
        target=TargetSpec(
            checkpoint,
            architecture,
            sha256,
            shuffled,
            input=input_options.read_input(input_values),
            packages=read_settings().architecture_packages_named,
            weights=weights,
            autoencoder=autoencoder_options.read_autoencoder_options(autoencoder),
        ),
        dissector=DissectorSpec(dissector),
        probe_set=probes,
        concept_set=concepts,
        options=DissectionOptions(
            layers=read_layers(layers),
            method=method,
            concepts_per_neuron=concepts_per_neuron,
            images_per_neuron=images_per_neuron,
            evidence=EvidenceOptions(draws, resamples, halves, error_level),
            localisation=_localisation(localise_finding or (), asked=localise),
        ),
        device=device,
        batch_size=batch_size,
        shard_size=shard_size,
    )

    console = Console(stderr=True, markup=False)
    with ProgressBars(console) as bars:
        result, made = run_dissection(plan, bars)
    job_purpose = JobPurpose(purpose or DEFAULT_PURPOSE, is_default=purpose is None)
    manifest: JobManifest = {**made, **job_purpose.as_dict()}

    write_export(result, concepts, out, file_format)
    if report is not None:
        _write_report(plan, result, manifest, report)

    neurons = sum(len(layer.neurons) for layer in result.layers)
    console.print(f"{neurons} neurons of {len(result.layers)} layers written to {out}")
    for line in _what_to_know(plan, result, manifest):
        console.print(line)


def _localisation(findings: Sequence[str], *, asked: bool) -> LocalisationOptions | None:
    """None where nobody asked. Raises InvalidInput for too many findings."""
    if not asked and not findings:
        return None
    if len(findings) > MOST_GIVEN:
        raise InvalidInput(
            f"{len(findings)} findings are given; maps are held against {MOST_GIVEN} at most.",
            field="localise-finding",
            value=len(findings),
            remedy="Give fewer.",
        )
    return LocalisationOptions(tuple(dict.fromkeys(findings)))


def _prompts(
    templates: list[str] | None, concepts: ConceptSet, *, synonyms: bool, subtract_empty: bool
) -> Prompts | None:
    """The prompts that were asked for, if any; what is wrong with them is better known before hours of work."""
    prompts = Prompts.of(templates or (PLACEHOLDER,), synonyms=synonyms, subtract_empty=subtract_empty, field="prompts")
    if prompts.are_plain:
        return None
    check_texts(concepts, prompts)
    return prompts


def _what_to_know(plan: "DissectionPlan", result: Dissection, manifest: "JobManifest") -> Iterator[str]:
    """What was inferred, and all that was decided on the way, a line each."""
    yield _inferred(result)
    yield from verdict_sentences(count_verdicts(result.layers), result.evidence)
    yield from input_warnings(manifest)
    yield from (f"About the manifest: {note}" for note in plan.probe_set.table_notes)
    yield from (f"About the concept set: {note}" for note in plan.concept_set.notes)
    yield from _independent(plan.probe_set, result)
    yield from finding_sentences(manifest)
    yield from _where(result, manifest)
    if result.images_skipped:
        yield f"{len(result.images_skipped)} unreadable images were skipped"


def _inferred(result: Dissection) -> str:
    evidence = result.evidence
    if evidence is None:
        return "No evidence was asked for"
    if evidence.refused is not None:
        return f"Significance was not tested. {evidence.refused}"

    neurons = (neuron for layer in result.layers for neuron in layer.neurons)
    significant = sum(neuron.significant is True for neuron in neurons)
    return f"{significant} of {evidence.tests} labels are significant; the others are labelled 'no concept'"


def _where(result: Dissection, manifest: "JobManifest") -> Iterator[str]:
    """Where neurons look, if anybody asked, and which places cannot be used."""
    summary = sum_up_where(manifest, result.layers)
    yield from where_sentences(summary)
    if summary is not None and summary.images_with_problems:
        row, why = summary.problems[0]
        yield f"Places of {summary.images_with_problems} images cannot be used; the first is row {row}: {why}"


def _independent(probes: ProbeSet, result: Dissection) -> Iterator[str]:
    """What counts as independent, and what was taken together."""
    if probes.where:
        yield f"Only images with {where_in_words(probes.where)} were used"
    yield from probes.warnings
    if probes.merged_rows:
        yield f"{probes.merged_rows} rows of the manifest were merged with earlier rows about the same image"

    evidence = result.evidence
    if evidence is None:
        return

    yield f"{evidence.units_in_words} count as independent"
    if evidence.repeated:
        yield f"{evidence.repeated} images repeat the bytes of others"


def _format(out: Path, csv_layout: str) -> ExportFormat:
    """The format that the file's name asks for; its folder must exist, which is better known before hours of work."""
    if not out.absolute().parent.is_dir():
        raise InvalidInput("The result's folder does not exist.", field="out", value=out, remedy="Create it first.")

    match out.suffix, csv_layout:
        case ".csv", "published":
            return "published"
        case ".csv", _:
            return "csv"
        case ".parquet", _:
            return "parquet"
        case ".json", _:
            return "json"

    raise InvalidInput(
        f"'{out.name}' does not end in a known format.",
        field="out",
        value=out,
        remedy="End it in .json, .csv or .parquet.",
    )


def _check_report(report: Path | None) -> None:
    if report is None:
        return
    if report.suffix != ".html":
        raise InvalidInput(
            f"'{report.name}' is not an .html file.", field="report", value=report, remedy="End it in .html."
        )

    if not report.absolute().parent.is_dir():
        raise InvalidInput(
            "The report's folder does not exist.", field="report", value=report, remedy="Create it first."
        )


def _write_report(plan: "DissectionPlan", result: Dissection, manifest: "JobManifest", path: Path) -> None:
    from service.reports.provenance import Provenance
    from service.studies.local_report import write_report
    from service.usecases.reports import named_target

    provenance = Provenance(
        job=None,
        target=named_target(plan.target.checkpoint.name, plan.target.shuffled),
        probe_set=plan.probe_set.name,
        concept_set=plan.concept_set.name,
        dissector=plan.dissector.path.name,
        method=plan.options.method,
        manifest=manifest,
    )

    write_report(provenance, result, plan.concept_set, plan.probe_set, path)
