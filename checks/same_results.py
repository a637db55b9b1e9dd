"""`python -m checks.same_results`: does a change of the code leave every result what it was, byte for byte?

    python -m checks.same_results record before.json     # on the code as it was
    python -m checks.same_results compare before.json    # on the code as it is now; exit status 1 where they differ

It dissects the samples with two similarities and evidence, and runs the demo, each in a fresh folder, and keeps the
SHA-256 of every file and of every layer of the demo's jobs. Both runs must be on the same kind of machine with the same
versions of torch and the decoders.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import ServiceClient
from cli.demo import run_demo
from cli.dissect import dissect
from cli.samples import write_samples
from cli.up import running_stack
from service.domain.digests import digest_of_file
from service.domain.methods import Similarity

SIMILARITIES: tuple[Similarity, ...] = ("contrast", "soft_wpmi")

app = typer.Typer(no_args_is_help=True, add_completion=False)

NoDemo = Annotated[bool, typer.Option("--no-demo", help="Leave out the demo, which takes most of the time.")]


def dissection_digests(folder: Path) -> dict[str, str]:
    """Similarity -> SHA-256 of the JSON that `mammodissect dissect` writes for the samples."""
    samples = write_samples(folder)
    digests: dict[str, str] = {}

    for similarity in SIMILARITIES:
        out = folder / f"{similarity}.json"
        dissect(
            checkpoint=samples.checkpoint,
            architecture="efficientnet-lite0",
            dissector=samples.dissector,
            probe_set=samples.phantoms,
            out=out,
            layers="_blocks[10],_blocks[15]",
            similarity=similarity,
            top_k=24,
        )
        digests[similarity] = digest_of_file(out)

    return digests


def demo_digests(folder: Path) -> dict[str, dict[str, str]]:
    """Target and probe set -> layer -> the digest in the manifest of the demo's job."""
    run_demo(folder)

    with running_stack(folder / "stack", 0) as running:
        client = ServiceClient(running.url, running.api_key)
        listed: list[dict[str, Any]] = client.get("/jobs", status="succeeded")["items"]
        jobs = [client.get(f"/jobs/{job['id']}") for job in listed]
        client.close()

    return {f"{job['target']} on {job['probe_set']}": job["manifest"]["results"] for job in jobs}


def results(*, demo: bool) -> dict[str, Any]:
    """All digests of one run."""
    with tempfile.TemporaryDirectory() as folder:
        digests: dict[str, Any] = {"dissect": dissection_digests(Path(folder) / "samples")}
        if demo:
            digests["demo"] = demo_digests(Path(folder) / "demo")
    return digests


@app.command()
def record(file: Path, no_demo: NoDemo = False) -> None:
    """Write the digests of this code's results to a file."""
    file.write_text(json.dumps(results(demo=not no_demo), indent=2, sort_keys=True) + "\n", encoding="utf-8")


@app.command()
def compare(file: Path, no_demo: NoDemo = False) -> None:
    """Compare this code's results with a file of digests; say which differ."""
    before = flat(json.loads(file.read_text(encoding="utf-8")))
    after = flat(results(demo=not no_demo))
    names = before.keys() | after.keys()
    if no_demo:
        names = {name for name in names if name.startswith("dissect / ")}
    different = sorted(name for name in names if before.get(name) != after.get(name))

    for name in different:
        print(f"differs: {name}: {before.get(name)} -> {after.get(name)}")
    print(f"{len(names) - len(different)} of {len(names)} results are the same")

    if different:
        sys.exit(1)


def flat(digests: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested digests as one mapping from a path of names to a digest."""
    leaves: dict[str, str] = {}
    for name, value in digests.items():
        path = f"{prefix} / {name}" if prefix else name
        if isinstance(value, dict):
            leaves.update(flat(value, path))
        else:
            leaves[path] = value
    return leaves


if __name__ == "__main__":
    app()
