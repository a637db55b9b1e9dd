"""`mammodissect fit-dissector`: fit a dissector on images and their reports."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from cli.progress import FITTING, ProgressBars
from service.domain.probes import ProbeSet


def fit_dissector(
    manifest: Annotated[Path, typer.Option(help="Manifest with a text column, and findings if they are known.")],
    out: Annotated[Path, typer.Option(help="Directory of the dissector to write.")],
    held_out: Annotated[
        Path | None, typer.Option(help="Manifest of other patients for the figures; default: a fifth of the first.")
    ] = None,
    image_encoder: Annotated[
        Literal["frozen", "trained"],
        typer.Option(help="Fit only the heads, or the heads and then the image encoder too."),
    ] = "frozen",
    height: Annotated[int, typer.Option(min=32, help="Images are resized to this height, in pixels.")] = 512,
    width: Annotated[int, typer.Option(min=32, help="Images are resized to this width, in pixels.")] = 320,
    crop_to_breast: Annotated[bool, typer.Option(help="Crop uniform borders before resizing.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split by patient and of the fit.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Fit a dissector on image-report pairs; the bundle carries what it recognises on patients it has not seen."""
    from service.engine.networks.protocols import choose_device
    from service.probes.images import open_images
    from service.studies.fit_dissector import FitOptions
    from service.studies.fit_dissector import fit_dissector as fit

    console = Console(stderr=True, markup=False)
    images = open_images(_read(manifest, console))
    held_out_images = None if held_out is None else open_images(_read(held_out, console))

    options = FitOptions(
        height=height, width=width, crop_to_breast=crop_to_breast, image_encoder=image_encoder, seed=seed
    )
    with ProgressBars(console, FITTING) as bars:
        report = fit(images, out, options, device=choose_device(device), progress=bars, held_out=held_out_images)

    console.print(f"Dissector written to {report.path}")
    show_figures(report.held_out, console)


def _read(manifest: Path, console: Console) -> ProbeSet:
    """The images that a manifest lists, with what was decided where it was read."""
    from service.probes.grouping import grouped
    from service.probes.manifest import read_manifest

    probe_set = grouped(read_manifest(manifest, name=manifest.stem), None)
    for note in probe_set.table_notes:
        console.print(f"About the manifest: {note}")
    return probe_set


def show_figures(figures: dict[str, Any], console: Console) -> None:
    """What the dissector recognises on held-out patients, best first."""
    retrieval = figures.get("retrieval")
    if retrieval is not None:
        console.print(
            f"Held out: {figures['images']} images of {figures['patients']} patients. The right one of"
            f" {retrieval['reports']} reports is among the first five for {retrieval['image_to_text_recall_at_5']:.0%}."
        )

    findings: dict[str, dict[str, Any]] = figures["findings"]
    if not findings:
        console.print("The manifest names no findings, so it is unknown which findings the dissector recognises.")
        return

    table = Table("finding", "images", "AUROC", "95 % interval", "recognised")
    for finding, figure in sorted(findings.items(), key=lambda item: -item[1]["low"]):
        interval = f"{figure['low']:.2f} - {figure['high']:.2f}"
        recognised = "yes" if figure["recognised"] else "no"
        table.add_row(finding, str(figure["positives"]), f"{figure['auroc']:.2f}", interval, recognised)

    console.print(table)
