"""`mammodissect evaluate`: the whole story on a folder of real mammograms, in this process."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import input_options
from cli.findings import FindingsMapOption, with_findings_map
from cli.fit_dissector import show_figures
from cli.layers import LayersOption, read_layers
from cli.local_files import check_local
from cli.progress import FITTING, ProgressBars
from cli.samples import lite0_weights
from service.config import read_settings
from service.domain.evidence import EvidenceOptions
from service.domain.input_contract import GivenInput
from service.domain.json_values import JsonObject
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeSet
from service.errors import InvalidInput, InvalidManifest

if TYPE_CHECKING:
    from service.studies.evaluation import EvaluatedDissection, Halves

_LITE0 = "efficientnet-lite0"
_LABELS = 5
_COUNTED = ("paper", "image", "exam")
_LEGEND = """\
shuffled: by contrast, of the same network with its weights shuffled. paper: neurons at the paper's threshold.
image, exam: neurons with a significant label where images or whole exams (all of a patient's) are exchanged.
survive: share of the first that is among the second. seen: significant neurons whose label the dissector recognises.
kept, AUROC: median stability and agreement of significant neurons; the latter also of those that are seen.
What to make of it: docs/evaluation.md.
"""


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with manifest.csv, or a manifest; see docs/evaluation.md.")],
    out: Annotated[Path, typer.Option(help="Folder to write dissector, figures and reports to.")] = Path(".evaluation"),
    checkpoint: Annotated[Path | None, typer.Option(help="Weights of the target; default: ImageNet's Lite0.")] = None,
    architecture: Annotated[str, typer.Option(help="Architecture of the target, for example mammo-clip/b5.")] = _LITE0,
    input_values: Annotated[list[str] | None, typer.Option("--input", help=input_options.HELP)] = None,
    weights: Annotated[str | None, typer.Option(help="Which of the checkpoint's sets of weights.")] = None,
    layers: LayersOption = "all",
    top_k: Annotated[int | None, typer.Option(min=1, help="Images per neuron; default: an eighth.")] = None,
    height: Annotated[int, typer.Option(min=32, help="The dissector resizes to this height, in pixels.")] = 512,
    width: Annotated[int, typer.Option(min=32, help="The dissector resizes to this width, in pixels.")] = 320,
    crop_to_breast: Annotated[bool, typer.Option(help="Cut DICOM images to the breast for the dissector.")] = False,
    draws: Annotated[int, typer.Option(min=1, help="Random image sets for p-values.")] = 2_000,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples of the exams for stability.")] = 100,
    findings_map: FindingsMapOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the two halves and of the fit.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Fit a dissector on half of the patients, dissect a network on the others, and say what that is worth."""
    import torch

    from service.concepts.builtin import builtin_concept_set
    from service.engine.architectures import open_target
    from service.engine.networks.protocols import choose_device
    from service.probes.images import open_images
    from service.studies.evaluation import VOCABULARY, EvaluationPlan, halve_patients
    from service.studies.evaluation import evaluate as run
    from service.studies.fit_dissector import FitOptions, fit_dissector

    target = _target(checkpoint, architecture, input_options.read_input(input_values), weights)
    probe_set = with_findings_map(_read(data), findings_map, builtin_concept_set(VOCABULARY))
    console = Console(stderr=True, markup=False)
    for note in probe_set.table_notes:
        console.print(f"About the manifest: {note}")
    halves = halve_patients(probe_set, seed)
    torch_device = choose_device(device)
    open_target(target, torch.device("cpu"))  # before the fit, which may take hours

    out.mkdir(parents=True, exist_ok=True)
    options = FitOptions(height=height, width=width, crop_to_breast=crop_to_breast, seed=seed)

    with ProgressBars(console, FITTING) as bars:
        fitted = fit_dissector(
            open_images(halves.fit),
            out / "dissector",
            options,
            device=torch_device,
            progress=bars,
            held_out=open_images(halves.dissected),
        )

    show_figures(fitted.held_out, console)

    plan = EvaluationPlan(
        target=target,
        dissector=DissectorSpec(fitted.path),
        probe_set=halves.dissected,
        layers=read_layers(layers),
        top_k=top_k,
        evidence=EvidenceOptions(draws, resamples, halves=1),
        device=torch_device,
    )

    with ProgressBars(console) as bars:
        dissections = list(run(plan, bars))

    _write(out, halves, fitted.held_out, dissections)
    _show(dissections, console)
    console.print(f"Figures, dissector and reports are in {out}")


def _read(data: Path) -> ProbeSet:
    from service.probes.grouping import grouped
    from service.probes.manifest import read_manifest

    manifest = data / "manifest.csv" if data.is_dir() else data
    if not manifest.exists():
        raise InvalidManifest(
            "The data are neither a folder with a manifest.csv nor a manifest.",
            field="data",
            value=data,
            remedy="Write one as docs/probe-sets.md says, or have `mammodissect manifest` write that of a data set.",
        )

    return grouped(read_manifest(manifest, name=manifest.absolute().parent.name), None)


def _target(checkpoint: Path | None, architecture: str, given: GivenInput | None, weights: str | None) -> TargetSpec:
    if checkpoint is None and architecture != _LITE0:
        raise InvalidInput(
            f"No weights are bundled for {architecture}.", field="checkpoint", remedy="Name the weights file."
        )
    if checkpoint is not None:
        check_local(checkpoint)
    packages = read_settings().architecture_packages_named
    return TargetSpec(checkpoint or lite0_weights(), architecture, input=given, weights=weights, packages=packages)


def _write(
    out: Path,
    halves: "Halves",
    held_out: JsonObject,
    dissections: Sequence["EvaluatedDissection"],
) -> None:
    """evaluation.json, and a report on each dissection of the network itself by contrast."""
    from service.domain.groups import group_images
    from service.reports.provenance import Provenance
    from service.studies.local_report import write_report

    counts = {
        half.name: {"images": len(half.items), "patients": group_images(half.items).count}
        for half in (halves.fit, halves.dissected)
    }
    summaries = [
        {
            "concept_set": evaluated.concept_set.name,
            "concepts": len(evaluated.concept_set.concepts),
            "method": evaluated.method.similarity,
            "figures": asdict(evaluated.judgement),
            "manifest": evaluated.manifest,
        }
        for evaluated in dissections
    ]

    figures = {"halves": counts, "dissector": held_out, "dissections": summaries}
    (out / "evaluation.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False), "utf-8")

    for evaluated in dissections:
        if not evaluated.reported:
            continue

        provenance = Provenance(
            job=None,
            target=evaluated.target.checkpoint.name,
            probe_set=halves.dissected.name,
            concept_set=evaluated.concept_set.name,
            dissector="dissector",
            method=evaluated.method,
            manifest=evaluated.manifest,
        )

        report = out / f"{evaluated.concept_set.name}.html"
        write_report(provenance, evaluated.dissection, evaluated.concept_set, halves.dissected, report)


def _show(dissections: Sequence["EvaluatedDissection"], console: Console) -> None:
    for evaluated in dissections:
        if evaluated.reported:
            console.print(f"{evaluated.concept_set.name}: the dissector is qualified for {_qualified(evaluated)}")

    console.print(_summary(dissections))
    console.print(_LEGEND)
    console.print(_verdicts(dissections))
    console.print(_layers(dissections[0]))

    for evaluated in dissections:
        labels = ", ".join(f"{label.text} ({label.neurons})" for label in evaluated.judgement.labels[:_LABELS])
        console.print(f"{_name(evaluated)}: {labels or 'no significant label'}")


def _qualified(evaluated: "EvaluatedDissection") -> str:
    """`2 of 5: mass, calcification`: what the dissector is qualified for, of what the images could show."""
    evidence = evaluated.dissection.evidence
    qualifications = () if evidence is None else evidence.qualifications
    qualified = [concept.text for concept in qualifications if concept.verdict == "qualified"]
    tested = sum(concept.verdict != "absent" for concept in qualifications)
    return f"{len(qualified)} of {tested}: {', '.join(qualified) or 'none'}"


def _verdicts(dissections: Sequence["EvaluatedDissection"]) -> Table:
    table = Table("concepts", "method", "named", "unverified", "unnamed", "no signal", "error", title_justify="left")
    for evaluated in dissections:
        called = evaluated.judgement.called
        counts = (called.named, called.unverified, called.unnamed, called.no_signal)
        shares = [_share(count, called.units) for count in counts]
        table.add_row(evaluated.concept_set.name, _method(evaluated), *shares, _figure(evaluated.judgement.error))

    table.title = "Verdicts, and the share of wrong names as estimated"
    return table


def _summary(dissections: Sequence["EvaluatedDissection"]) -> Table:
    table = Table("concepts", "method", *_COUNTED, "survive", "seen", "kept", "AUROC")
    for evaluated in dissections:
        judgement = evaluated.judgement
        total = judgement.total
        table.add_row(
            evaluated.concept_set.name,
            _method(evaluated),
            _share(total.threshold_met, total.living),
            _share(total.by_image, total.living),
            _share(total.by_exam, total.living),
            _share(total.by_both, total.by_image),
            str(judgement.verdicts.get("qualified", 0)),
            _figure(judgement.label_stability),
            f"{_figure(judgement.agreement)} {_figure(judgement.agreement_seen)}",
        )

    return table


def _layers(evaluated: "EvaluatedDissection") -> Table:
    table = Table("layer", "living", *_COUNTED, title=_name(evaluated), title_justify="left")
    for layer, counts in evaluated.judgement.layers.items():
        table.add_row(
            layer,
            str(counts.living),
            _share(counts.threshold_met, counts.living),
            _share(counts.by_image, counts.living),
            _share(counts.by_exam, counts.living),
        )

    return table


def _name(evaluated: "EvaluatedDissection") -> str:
    return f"{evaluated.concept_set.name}, {_method(evaluated)}"


def _method(evaluated: "EvaluatedDissection") -> str:
    return evaluated.method.similarity if evaluated.target.shuffled is None else "shuffled"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"
