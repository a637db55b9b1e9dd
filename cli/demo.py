"""`mammodissect demo`: what training on mammograms, and then on calcifications alone, does to a general network.

Everything over HTTP, on synthetic mammograms whose truth is known; then a look at real ones.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cli.client import Answer, ServiceClient, ServiceError, path_of
from cli.demo_tables import known_head, strongest_neurons
from cli.progress import ProgressBars
from cli.questions import CHANGES_LEGEND, changes_table, read_comparison
from cli.samples import Samples, write_samples
from cli.training_beside import TrainingBeside
from cli.up import running_stack
from service.domain.jobs import Progress, Stage
from service.domain.json_values import StoredJson
from service.process_memory import hide_process_memory

CONCEPTS = "bi-rads"
FROZEN, LATE, HEAD = "_blocks.7", ["_blocks.10", "_blocks.15"], "_fc"
"""The last block that training leaves as it is, two that it changes, and the classifier."""

NETWORKS = {
    "general": ([FROZEN, *LATE], "EfficientNet-Lite0 (ImageNet)"),
    "mammography": ([FROZEN, *LATE, HEAD], "the same, trained on mammograms"),
    "calcifications": ([FROZEN, *LATE, HEAD], "that one, tuned for calcifications alone"),
}
TRAINED = ("mammography", "calcifications")
COMPARED = (("general", "mammography", "calcifications"), TRAINED)
RESEARCH = ["research"]
"""Synthetic mammograms, what was trained on them, and eight real ones show how the software works, and no more."""

PATCHES = {"size": 1024, "stride": 1024}
TOP_K = {"phantoms": 50, "mammograms": 12}

PHANTOMS = 400
"""More than the samples have: exams enough that what training did stands out from what their choice does."""


class Steps:
    """Says what is being done and how long each part took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._took: list[tuple[str, float]] = []

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One timed part."""
        self.console.print(what, style="bold")
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
    """Run every part, show what was found and where the time went, stop everything that was started.

    The general network is dissected first, while the training of the others runs beside it. Raises InvalidInput without
    the demo extra, and ServiceError where a job or the training does not succeed.
    """
    hide_process_memory()  # it will have the key of its stack
    console = Console(markup=False)
    steps = Steps(console)
    with steps.step("Drawing synthetic mammograms, laying out sample weights and dissector"):
        files = write_samples(data_dir / "samples", phantoms=PHANTOMS)

    with ExitStack() as until_the_end:
        with steps.step("Starting Postgres, Valkey, API, worker and scheduler"):
            running = until_the_end.enter_context(running_stack(data_dir / "stack", 0))

        training = until_the_end.enter_context(TrainingBeside(files.checkpoint, data_dir / "samples"))
        client = ServiceClient(running.url, running.api_key)
        until_the_end.callback(client.close)
        with steps.step("Registering the general network, the dissector and the synthetic mammograms over HTTP"):
            _register(client, files)

        jobs = {"general": _dissect_on_phantoms(client, "general", steps)}

        with steps.step("Training the network on other synthetic mammograms, then for calcifications alone"):
            trained = training.finish(console)
            _register_model(client, "mammography", trained.mammography)
            _register_model(client, "calcifications", trained.calcifications)

        for name in TRAINED:
            jobs[name] = _dissect_on_phantoms(client, name, steps)

        console.print(known_head(client, {name: jobs[name] for name in COMPARED[1]}, CONCEPTS))
        with steps.step("Comparing the three, writing reports"):
            reports = _compare_and_report(client, jobs, data_dir / "reports", console)

        with steps.step("Dissecting the network trained on synthetic mammograms on eight real ones"):
            _register_mammograms(client, files)
            job = _dissect(client, "mammography", [FROZEN, *LATE], "mammograms", console)

        console.print(strongest_neurons(client, job))

    console.print(steps.summary())
    _say_goodbye(console, data_dir, reports)


def _say_goodbye(console: Console, data_dir: Path, reports: list[Path]) -> None:
    console.print(
        "\nOpen a report in a browser:\n\n"
        + "".join(f"  {report.resolve()}\n" for report in reports)
        + "\nThe dissector has seen only synthetic mammograms: its labels on real ones only show how the software"
        " works.\nWhat it can and cannot see: docs/dissectors.md. To ask more questions, start the service again\n\n"
        f"  .venv/bin/mammodissect up --data-dir {data_dir / 'stack'} --port 8000\n\n"
        "and, beside it,\n\n"
        f'  curl --noproxy "*" -H "Authorization: Bearer $(cat {data_dir / "stack" / "api-key"})" '
        f"'http://127.0.0.1:8000/neurons/{LATE[-1]}?model=mammography'",
        highlight=False,
        soft_wrap=True,
    )


def _dissect_on_phantoms(client: ServiceClient, network: str, steps: Steps) -> str:
    """Dissect a network, show its strongest neurons, and return the job's id."""
    layers, what = NETWORKS[network]
    with steps.step(f"Dissecting {what}"):
        job = _dissect(client, network, layers, "phantoms", steps.console)

    steps.console.print(strongest_neurons(client, job))
    return str(job["id"])


def _register(client: ServiceClient, files: Samples) -> None:
    """What the first dissection needs."""
    _register_model(client, "general", files.checkpoint)

    ours: StoredJson = {"licence": "Apache-2.0", "allowed_purposes": RESEARCH}
    client.post("/dissectors", {"name": "phantom-reader", "path": str(files.dissector), **ours})
    client.post("/probe-sets", {"name": "phantoms", "manifest": str(files.phantoms), **ours})


def _register_model(client: ServiceClient, name: str, checkpoint: Path) -> None:
    client.post(
        "/models",
        {
            "name": name,
            "checkpoint": str(checkpoint),
            "architecture": "efficientnet-lite0/384x240",
            "allowed_purposes": RESEARCH,
        },
    )


def _register_mammograms(client: ServiceClient, files: Samples) -> None:
    """Eight real mammograms in patches, whose sizes a worker reads."""
    published: StoredJson = {"licence": "CC-BY-3.0", "allowed_purposes": RESEARCH}
    mammograms: StoredJson = {"name": "mammograms", "manifest": str(files.mammograms), "patches": PATCHES}
    client.post("/probe-sets", {**mammograms, **published})
    client.wait_for_images("mammograms")


def _compare_and_report(client: ServiceClient, jobs: dict[str, str], folder: Path, console: Console) -> list[Path]:
    """Show what each network gained and lost, and write a report on every job and comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    reports = []
    for networks in COMPARED:
        comparison = client.post("/comparisons", {"jobs": [jobs[network] for network in networks]})
        console.print(changes_table(read_comparison(comparison["result"]), networks))

        report = folder / f"{'-'.join(networks)}.html"
        client.download(f"/comparisons/{comparison['id']}/report", report, format="html")
        reports.append(report)

    console.print(CHANGES_LEGEND)

    for name, job in jobs.items():
        coverage = client.get(f"/jobs/{job}/coverage")
        are = "are named" if coverage["counted"] == "named" else "have a significant label"
        console.print(
            f"  {name}: {coverage[coverage['counted']]} of {coverage['tested']} neurons {are};"
            f" {len(coverage['missing'])} of {coverage['must_have']} essential concepts have no neuron"
        )

        report = folder / f"{name}.html"
        client.download(f"/jobs/{job}/report", report, format="html")
        reports.append(report)

    return reports


def _dissect(client: ServiceClient, network: str, layers: list[str], probe_set: str, console: Console) -> Answer:
    """Post the job and follow it; a run of the demo before this one may have left the very same job's result."""
    body: StoredJson = {
        "target": client.get(f"/models/{network}")["reference"],
        "layers": layers,
        "concept_set": client.get(f"/concept-sets/{CONCEPTS}")["reference"],
        "probe_set": client.get(f"/probe-sets/{probe_set}")["reference"],
        "dissector": client.get("/dissectors/phantom-reader")["reference"],
    }

    method = {"similarity": "contrast", "top_k": TOP_K[probe_set]}
    for listed in client.get("/jobs", status="succeeded")["items"]:
        job = client.get(path_of("jobs", listed["id"]))
        if body.items() <= job.items() and method.items() <= job["method"].items():
            console.print(f"  job {job['id']} did this before; its earlier result is shown")
            return job

    posted = client.post("/jobs", {**body, "method": method})
    console.print(f"  job {posted['id']}")
    with ProgressBars(console) as bars:
        for job in client.follow(posted["id"]):
            for stage in job["progress"]:
                bars(Progress(Stage(stage["stage"]), stage["done"], stage["total"]))

    if job["status"] != "succeeded":
        problem = job["problem"] or {"detail": f"The job ended {job['status']}."}
        raise ServiceError(problem["detail"], remedy=problem.get("remedy"))

    return job
