"""`mammodissect demo`: the main job from end to end, over HTTP, on synthetic and on real mammograms."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.client import ServiceClient, ServiceError
from cli.progress import ProgressBars
from cli.samples import Samples, write_samples
from cli.up import running_stack
from service.domain.jobs import Progress, Stage

LAYERS = ["_blocks.2", "_blocks.4", "_blocks.10", "_blocks.15"]
STRONGEST = 4
PATCHES = {"size": 1024, "stride": 1024}
TOP_K = {"phantoms": 24, "mammograms": 12}


class Steps:
    """Says what is being done and how long each part took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._took: list[tuple[str, float]] = []

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One timed part."""
        self.console.print(f"[bold]{what}[/bold]")
        started = time.monotonic()
        yield
        self._took.append((what, time.monotonic() - started))

    def summary(self) -> Table:
        """How long each part took."""
        table = Table("part", "seconds", title="Where the time went", title_justify="left")
        for what, seconds in self._took:
            table.add_row(what, f"{seconds:.1f}")
        table.add_section()
        table.add_row("all", f"{sum(seconds for _, seconds in self._took):.1f}")
        return table


def run_demo(data_dir: Path) -> None:
    """Run every part, show the strongest neurons and where the time went, stop everything that was started.

    Raises InvalidInput without the demo extra, and ServiceError where a job does not succeed.
    """
    console = Console()
    steps = Steps(console)
    with steps.step("Drawing synthetic mammograms, laying out sample weights and dissector"):
        files = write_samples(data_dir / "samples")
    with ExitStack() as until_the_end:
        with steps.step("Starting Postgres, Valkey, API, worker and scheduler"):
            running = until_the_end.enter_context(running_stack(data_dir / "stack", 0))
        client = ServiceClient(running.url, running.api_key)
        with steps.step("Registering target, dissector and probe sets over HTTP"):
            _register(client, files)
        for probe_set in ("phantoms", "mammograms"):
            with steps.step(f"Dissecting EfficientNet-Lite0 (ImageNet) on the {probe_set}"):
                job = _dissect(client, probe_set, console)
            _show(client, job, console)
    console.print(steps.summary())
    console.print(
        "\nEach label is the best-scoring concept of its neuron, not yet evidence that the neuron knows it.\n"
        "The dissector has seen synthetic mammograms alone: its labels on real ones only show how the software works.\n"
        "What it can and cannot see: docs/dissectors.md. To ask more, start the service again\n\n"
        f"  .venv/bin/mammodissect up --data-dir {data_dir / 'stack'} --port 8000\n\n"
        "and, beside it,\n\n"
        f'  curl -H "Authorization: Bearer $(cat {data_dir / "stack" / "api-key"})" '
        f"'http://127.0.0.1:8000/neurons/{LAYERS[-1]}?model=efficientnet-lite0'",
        highlight=False,
        soft_wrap=True,
    )


def _register(client: ServiceClient, files: Samples) -> None:
    client.post(
        "/models",
        {"name": "efficientnet-lite0", "checkpoint": str(files.checkpoint), "architecture": "efficientnet-lite0"},
    )
    client.post("/dissectors", {"name": "phantom-reader", "path": str(files.dissector)})
    client.post("/probe-sets", {"name": "phantoms", "manifest": str(files.phantoms)})
    client.post("/probe-sets", {"name": "mammograms", "manifest": str(files.mammograms), "patches": PATCHES})


def _dissect(client: ServiceClient, probe_set: str, console: Console) -> dict[str, Any]:
    """Post the job and follow it; a run of the demo before this one may have left the very same job's result."""
    body: dict[str, Any] = {
        "target": client.get("/models/efficientnet-lite0")["reference"],
        "layers": LAYERS,
        "concept_set": client.get("/concept-sets/bi-rads")["reference"],
        "probe_set": client.get(f"/probe-sets/{probe_set}")["reference"],
        "dissector": client.get("/dissectors/phantom-reader")["reference"],
    }
    method = {"similarity": "contrast", "top_k": TOP_K[probe_set]}
    earlier: list[dict[str, Any]] = client.get("/jobs", status="succeeded")["items"]
    for job in earlier:
        if body.items() <= job.items() and method.items() <= job["method"].items():
            console.print(f"  job {job['id']} did this before: its result is shown again")
            return job
    job = client.post("/jobs", body | {"method": method})
    console.print(f"  job {job['id']}")
    with ProgressBars(console) as bars:
        for seen in client.follow(job["id"]):
            job = seen
            for stage in seen["progress"]:
                bars(Progress(Stage(stage["stage"]), stage["done"], stage["total"]))
    if job["status"] != "succeeded":
        problem = job["problem"] or {"detail": f"The job ended {job['status']}."}
        raise ServiceError(problem["detail"], remedy=problem.get("remedy"))
    return job


def _show(client: ServiceClient, job: dict[str, Any], console: Console) -> None:
    """The strongest neurons of each layer."""
    table = Table(title=f"Strongest neurons on {job['probe_set']}", title_justify="left")
    table.add_column("layer", no_wrap=True)
    table.add_column("unit", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("concept", overflow="fold")
    table.add_column("category", overflow="fold")
    for layer in client.get("/layers", job=job["id"])["items"]:
        neurons = client.get(f"/neurons/{layer['layer']}", job=job["id"], limit=STRONGEST, dead=False)["items"]
        heads = [layer["layer"], f"{layer['units']} units", f"{layer['dead_units']} dead", ""]
        table.add_section()
        for head, neuron in zip(heads, neurons, strict=False):
            cells = (str(neuron["unit"]), f"{neuron['score']:.2f}", neuron["concept"], neuron["category"])
            table.add_row(head, *cells)
    console.print(table)
