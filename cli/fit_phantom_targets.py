"""`mammodissect fit-phantom-targets`: two networks that learned from synthetic mammograms what is known exactly."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.progress import TUNING, ProgressBars

if TYPE_CHECKING:  # it stands on torch, which other commands do without
    from service.studies.phantom_targets import PhantomTargets

Folder = Annotated[Path, typer.Argument(help="Folder to write the weights into; created if necessary.")]
HeldOut = Annotated[
    int, typer.Option(min=0, help="Measure what the networks recognise on this many phantoms of another series.")
]


def fit_phantom_targets(
    folder: Folder,
    checkpoint: Annotated[Path, typer.Option(help="EfficientNet-Lite0 weights to begin with.")],
    held_out: HeldOut = 0,
    held_out_seed: Annotated[int, typer.Option(help="Seed of the other series.")] = 6,
    longer: Annotated[
        bool, typer.Option("--longer", help="Train on four times the phantoms, twice as often: some 20 minutes.")
    ] = False,
) -> None:
    """Train EfficientNet-Lite0 on phantoms: once on all of their findings, and then on calcifications alone."""
    console = Console(stderr=True, markup=False)
    targets = fitted_phantom_targets(checkpoint, folder, console, longer=longer)
    console.print(f"Weights written to {targets.mammography} and {targets.calcifications}")
    if held_out:
        console.print(_recognition(targets, held_out, held_out_seed, console))


def fitted_phantom_targets(
    checkpoint: Path, folder: Path, console: Console, *, longer: bool = False
) -> "PhantomTargets":
    """Train both, with progress on the terminal, unless the folder has them. Their paths are absolute."""
    from service.studies.phantom_targets import PhantomTraining, fit_phantom_targets

    training = PhantomTraining.longer() if longer else PhantomTraining()
    with ProgressBars(console, TUNING) as bars:
        return fit_phantom_targets(checkpoint, folder.resolve(), bars, training)


def _recognition(targets: "PhantomTargets", phantoms: int, seed: int, console: Console) -> Table:
    from service.studies.phantom_targets import measure_recognition

    with ProgressBars(console, TUNING) as bars:
        all_findings, calcifications = measure_recognition(targets, phantoms=phantoms, seed=seed, progress=bars)

    table = Table("finding", "images", "AUROC", "95 % interval", "after calcifications alone")
    for finding, figure in all_findings.items():
        interval = f"{figure.low:.2f} - {figure.high:.2f}"
        after = calcifications[finding].auroc
        table.add_row(finding, str(figure.positives), f"{figure.auroc:.3f}", interval, f"{after:.3f}")

    return table
