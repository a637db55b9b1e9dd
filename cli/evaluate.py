"""`mammodissect evaluate`: the whole story on a folder of real mammograms, in this process."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.fit_dissector import show_figures
from cli.progress import FITTING, ProgressBars
from cli.samples import lite0_weights
from service.domain.evidence import EvidenceOptions
from service.domain.layers import canonical_layer
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
    layers: Annotated[str, typer.Option(help="Comma-separated layer names, or all.")] = "all",
    top_k: Annotated[int | None, typer.Option(min=1, help="Images per neuron; default: an eighth.")] = None,
    height: Annotated[int, typer.Option(min=32, help="The dissector resizes to this height, in pixels.")] = 512,
    width: Annotated[int, typer.Option(min=32, help="The dissector resizes to this width, in pixels.")] = 320,
    crop_to_breast: Annotated[bool, typer.Option(help="Cut DICOM images to the breast for the dissector.")] = False,
    draws: Annotated[int, typer.Option(min=1, help="Random image sets for p-values.")] = 2_000,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples of the exams for stability.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the two halves and of the fit.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Fit a dissector on half of the patients, dissect a network on the others, and say what that is worth."""
    from service.engine.networks.protocols import choose_device
    from service.probes.images import open_images
    from service.studies.evaluation import EvaluationPlan, halve_patients
    from service.studies.evaluation import evaluate as run
    from service.studies.fit_dissector import FitOptions, fit_dissector

    target = _target(checkpoint, architecture)
    halves = halve_patients(_read(data), seed)
    chosen = choose_device(device)
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, markup=False)
    options = FitOptions(height=height, width=width, crop_to_breast=crop_to_breast, seed=seed)
    with ProgressBars(console, FITTING) as bars:
        fitted = fit_dissector(
            open_images(halves.fit),
            out / "dissector",
            options,
            device=chosen,
            progress=bars,
            held_out=open_images(halves.dissected),
        )
    show_figures(fitted.held_out, console)
    plan = EvaluationPlan(
        target=target,
        dissector=DissectorSpec(fitted.path),
        probe_set=halves.dissected,
        layers=None if layers == "all" else tuple(map(canonical_layer, layers.split(","))),
        top_k=top_k,
        evidence=EvidenceOptions(draws, resamples, halves=1),
        device=chosen,
    )
    with ProgressBars(console) as bars:
        found = list(run(plan, bars))
    _write(out, halves, fitted.held_out, found)
    _show(found, console)
    console.print(f"Figures, dissector and reports are in {out}")


def _read(data: Path) -> ProbeSet:
    from service.probes.manifest import read_manifest

    manifest = data / "manifest.csv" if data.is_dir() else data
    if not manifest.exists():
        raise InvalidManifest(
            "The data are neither a folder with a manifest.csv nor a manifest.",
            field="data",
            value=data,
            remedy="docs/evaluation.md shows how to write a manifest.",
        )
    return read_manifest(manifest, name=manifest.absolute().parent.name)


def _target(checkpoint: Path | None, architecture: str) -> TargetSpec:
    if checkpoint is None and architecture != _LITE0:
        raise InvalidInput(
            f"No weights are bundled for {architecture}.", field="checkpoint", remedy="Name the weights file."
        )
    return TargetSpec(checkpoint or lite0_weights(), architecture)


def _write(
    out: Path,
    halves: "Halves",
    held_out: dict[str, Any],
    found: Sequence["EvaluatedDissection"],
) -> None:
    """evaluation.json, and a report on each dissection of the network itself by contrast."""
    from service.domain.groups import group_images
    from service.reports.provenance import Provenance
    from service.studies.local_report import write_report

    figures = {
        "halves": {
            part.name: {"images": len(part.items), "patients": group_images(part.items).count}
            for part in (halves.fit, halves.dissected)
        },
        "dissector": held_out,
        "dissections": [
            {
                "concept_set": one.concept_set.name,
                "concepts": len(one.concept_set.concepts),
                "method": one.method.similarity,
                "figures": asdict(one.judgement),
                "manifest": one.manifest,
            }
            for one in found
        ],
    }
    (out / "evaluation.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False), "utf-8")
    for one in found:
        if not one.reported:
            continue
        provenance = Provenance(
            job=None,
            target=one.target.checkpoint.name,
            probe_set=halves.dissected.name,
            concept_set=one.concept_set.name,
            dissector="dissector",
            method=one.method,
            manifest=one.manifest,
        )
        write_report(
            provenance, one.dissection, one.concept_set, halves.dissected, out / f"{one.concept_set.name}.html"
        )


def _show(found: Sequence["EvaluatedDissection"], console: Console) -> None:
    for one in found:
        known = () if one.dissection.evidence is None else one.dissection.evidence.qualifications
        if one.reported:
            qualified = [named.text for named in known if named.verdict == "qualified"]
            tested = sum(named.verdict != "absent" for named in known)
            names = ", ".join(qualified) or "none"
            console.print(
                f"{one.concept_set.name}: the dissector is qualified for {len(qualified)} of {tested}: {names}"
            )
    console.print(_summary(found))
    console.print(_LEGEND)
    console.print(_layers(found[0]))
    for one in found:
        labels = ", ".join(f"{label.text} ({label.neurons})" for label in one.judgement.labels[:_LABELS])
        console.print(f"{_name(one)}: {labels or 'no significant label'}")


def _summary(found: Sequence["EvaluatedDissection"]) -> Table:
    table = Table("concepts", "method", *_COUNTED, "survive", "seen", "kept", "AUROC")
    for one in found:
        told, total = one.judgement, one.judgement.total
        table.add_row(
            one.concept_set.name,
            _method(one),
            _share(total.threshold_met, total.living),
            _share(total.by_image, total.living),
            _share(total.by_exam, total.living),
            _share(total.by_both, total.by_image),
            str(told.verdicts.get("qualified", 0)),
            _figure(told.label_stability),
            f"{_figure(told.agreement)} {_figure(told.agreement_seen)}",
        )
    return table


def _layers(one: "EvaluatedDissection") -> Table:
    table = Table("layer", "living", *_COUNTED, title=_name(one), title_justify="left")
    for layer, counts in one.judgement.layers.items():
        table.add_row(
            layer,
            str(counts.living),
            _share(counts.threshold_met, counts.living),
            _share(counts.by_image, counts.living),
            _share(counts.by_exam, counts.living),
        )
    return table


def _name(one: "EvaluatedDissection") -> str:
    return f"{one.concept_set.name}, {_method(one)}"


def _method(one: "EvaluatedDissection") -> str:
    return one.method.similarity if one.target.shuffled is None else "shuffled"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"
