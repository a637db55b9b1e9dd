"""Pictures as workers draw them on small networks: what is in them, what is reused, and images that are gone."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import text

from service.config import Settings
from service.db.neurons import read_layers
from service.db.pictures import find_pictures
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus
from service.domain.neurons import TopImage
from service.domain.probes import PatchGrid
from service.domain.work import AnyLease
from service.engine.probing.regions import Spot, find_map, region_of
from service.pipelines.items import DissectionRunner
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.storage import open_store
from service.usecases.garbage import collect_garbage
from tests.api.test_problems import problem
from tests.pipelines.conftest import Run, Work
from tests.pipelines.small_jobs import IMAGES, register, submit, write_folder
from tests.usecases.factories import RecordingQueue

LAYER = "layer1.0"
NO_DRAWS = EvidenceOptions(draws=0)
HEIGHT, WIDTH = 400, 300


def scene(index: int) -> NDArray[np.uint8]:
    """A dark image with a bright spot, elsewhere in each."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = (rows - 40 - 30 * index) ** 2 + (columns - 260 + 20 * index) ** 2
    return np.asarray(20 + 200 * np.exp(-distance / 900), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path)
    for index in range(IMAGES):
        Image.fromarray(scene(index)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def job(sessions: Sessions, folder: Path, run: Run) -> Job:
    job = run(submit(sessions, folder, evidence=NO_DRAWS))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    return job


def top_image(sessions: Sessions, job: Job, layer: str = LAYER) -> tuple[int, TopImage]:
    """A unit that is alive, and its first image."""
    with transaction(sessions) as session:
        [of_layer] = [of_layer for of_layer in read_layers(session, job.id) if of_layer.layer == layer]
    neuron = next(neuron for neuron in of_layer.neurons if neuron.images)
    return neuron.unit, neuron.images[0]


def fetched(client: TestClient, work: Work, url: str) -> Any:
    """The answer once workers have done what there is to do."""
    assert client.get(url).status_code == 202
    work()
    return client.get(url)


def pixels_of(answer: Any) -> NDArray[np.int16]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    decoded = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded.astype(np.int16)


def colourful(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    spread: NDArray[np.int16] = pixels.max(axis=2) - pixels.min(axis=2)
    return spread > 40


def map_of(runner: DissectionRunner, folder: Path, job: Job, unit: int, row: int) -> NDArray[np.float32]:
    """What the unit does over space in the image of a row, by the worker's own network."""
    plan = runner._plans.of(job.id, lambda _: None)
    target = runner.networks.target(plan.target, plan.request.options.layers)
    images = open_images(read_manifest(folder / "manifest.csv", name="probes"))
    activations = find_map(target, images, Spot(LAYER, unit, row - 1), device=torch.device("cpu"))
    assert activations is not None
    return activations


@pytest.mark.parametrize(("size", "shape"), [("thumbnail", (160, 120)), ("medium", (400, 300)), ("large", (400, 300))])
def test_the_image_is_drawn_in_the_size_that_is_asked_for(
    client: TestClient, sessions: Sessions, job: Job, work: Work, size: str, shape: tuple[int, int]
) -> None:
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM report_pictures"))
    _, image = top_image(sessions, job)
    pixels = pixels_of(fetched(client, work, f"/jobs/{job.id}/images/{image.row}?size={size}"))
    assert pixels.shape == (*shape, 3)
    assert not colourful(pixels).any()

    expected = cv2.resize(scene(image.row - 1), shape[::-1], interpolation=cv2.INTER_AREA).astype(np.int16)
    assert np.abs(pixels[:, :, 0] - expected).mean() < 3


def test_the_region_is_outlined_where_the_unit_looks(
    client: TestClient, sessions: Sessions, folder: Path, job: Job, work: Work, runner: DissectionRunner
) -> None:
    unit, image = top_image(sessions, job)
    url = f"/jobs/{job.id}/images/{image.row}?layer={LAYER}&unit={unit}&region=true"
    outlined = pixels_of(fetched(client, work, url))

    activations = map_of(runner, folder, job, unit, image.row)
    left, top, width, height = image.region or region_of(torch.from_numpy(activations))
    rows, columns = np.nonzero(colourful(outlined))
    assert (rows.min(), rows.max() + 1) == pytest.approx((top * HEIGHT, (top + height) * HEIGHT), abs=3)
    assert (columns.min(), columns.max() + 1) == pytest.approx((left * WIDTH, (left + width) * WIDTH), abs=3)


def test_the_region_of_the_result_is_taken_where_there_is_one(
    client: TestClient, sessions: Sessions, job: Job, work: Work
) -> None:
    unit, image = top_image(sessions, job)
    with transaction(sessions) as session:
        session.execute(
            text(
                "UPDATE neurons SET images = jsonb_set(images, '{0,region}', '[0.25, 0.5, 0.25, 0.25]') "
                "WHERE unit = :unit"
            ),
            {"unit": unit},
        )
    url = f"/jobs/{job.id}/images/{image.row}?layer={LAYER}&unit={unit}&region=true"
    rows, columns = np.nonzero(colourful(pixels_of(fetched(client, work, url))))
    assert (rows.min(), rows.max() + 1) == pytest.approx((200, 300), abs=3)
    assert (columns.min(), columns.max() + 1) == pytest.approx((75, 150), abs=3)


def test_heat_is_where_the_unit_is_active(
    client: TestClient, sessions: Sessions, folder: Path, job: Job, work: Work, runner: DissectionRunner
) -> None:
    unit, image = top_image(sessions, job)
    url = f"/jobs/{job.id}/images/{image.row}"
    hot = pixels_of(fetched(client, work, f"{url}?layer={LAYER}&unit={unit}&heat=true"))
    plain = pixels_of(fetched(client, work, url))

    activations = map_of(runner, folder, job, unit, image.row)
    relative = (activations - activations.min()) / (activations.max() - activations.min())
    smooth = cv2.resize(relative, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    redder = (hot[:, :, 2] - hot[:, :, 0]) - (plain[:, :, 2] - plain[:, :, 0])
    assert np.corrcoef(redder.ravel(), smooth.ravel())[0, 1] > 0.95


def test_the_same_picture_has_the_same_bytes(
    client: TestClient, sessions: Sessions, settings: Settings, job: Job, work: Work
) -> None:
    unit, image = top_image(sessions, job)
    url = f"/jobs/{job.id}/images/{image.row}?layer={LAYER}&unit={unit}&region=true&heat=true"
    first = fetched(client, work, url)
    pixels_of(first)
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM pictures"))
        before = session.scalar(text("SELECT count(*) FROM artifacts"))
    again = fetched(client, work, url)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT count(*) FROM artifacts")) == before, "its artifact was found again"
        session.execute(text("DELETE FROM pictures"))

    collect_garbage(sessions, open_store(settings.artifacts_url), older_than=timedelta(0))
    anew = fetched(client, work, url)
    assert anew.content == first.content, "computed from the images alone, shards and all"


def test_the_thumbnail_of_the_report_is_there_at_once(client: TestClient, sessions: Sessions, job: Job) -> None:
    with transaction(sessions) as session:
        pictures = find_pictures(session, job.id)
    place, jpeg = next(iter(pictures.items()))
    picture = client.get(f"/jobs/{job.id}/images/{place.row}?size=thumbnail")
    assert (picture.status_code, picture.content, picture.headers["content-type"]) == (200, jpeg, "image/jpeg")


def test_an_image_that_is_gone_says_so_until_it_is_back(
    client: TestClient, sessions: Sessions, folder: Path, job: Job, work: Work
) -> None:
    _, image = top_image(sessions, job)
    file = folder / f"{image.row - 1}.png"
    content = file.read_bytes()
    file.unlink()
    url = f"/jobs/{job.id}/images/{image.row}"
    refused = problem(fetched(client, work, url), 409)
    assert refused["type"].endswith("picture-unavailable")
    assert f"manifest row {image.row}" in refused["detail"]
    assert file.name not in refused["detail"]
    assert refused["remedy"]

    file.write_bytes(content)
    assert client.get(url).status_code == 409
    with transaction(sessions) as session:
        session.execute(text("UPDATE pictures SET ended_at = ended_at - interval '61 seconds'"))
    assert fetched(client, work, url).status_code == 200


def test_an_image_that_has_changed_is_not_shown_as_the_one_that_was(
    client: TestClient, sessions: Sessions, settings: Settings, folder: Path, job: Job, work: Work
) -> None:
    _, image = top_image(sessions, job)
    Image.fromarray(255 - scene(image.row - 1)).save(folder / f"{image.row - 1}.png")
    refused = problem(fetched(client, work, f"/jobs/{job.id}/images/{image.row}"), 409)
    assert "changed" in refused["detail"]

    collect_garbage(sessions, open_store(settings.artifacts_url), older_than=timedelta(0))
    again = problem(fetched(client, work, f"/jobs/{job.id}/images/{image.row}?size=large"), 409)
    assert "changed" in again["detail"], "without its shard, too"


def test_an_image_that_cannot_be_read_any_more_says_so(
    client: TestClient, sessions: Sessions, folder: Path, job: Job, work: Work
) -> None:
    _, image = top_image(sessions, job)
    (folder / f"{image.row - 1}.png").write_bytes(b"")
    assert problem(fetched(client, work, f"/jobs/{job.id}/images/{image.row}"), 409)["remedy"]


def test_a_layer_without_a_map_has_an_image_but_no_heat(
    client: TestClient, sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    job = run(submit(sessions, folder, layers=("fc",), evidence=NO_DRAWS))
    unit, image = top_image(sessions, job, "fc")
    url = f"/jobs/{job.id}/images/{image.row}?layer=fc&unit={unit}"
    assert not colourful(pixels_of(fetched(client, work, f"{url}&region=true"))).any()
    refused = problem(fetched(client, work, f"{url}&heat=true"), 409)
    assert "'fc' has no map over space" in refused["detail"]
    assert "without `heat`" in refused["remedy"]


def test_patches_are_drawn_by_themselves(
    client: TestClient, sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    cut: Mapping[str, Any] = {"patches": PatchGrid(100, 100)}
    with transaction(sessions) as session:
        register(session, folder, RecordingQueue(), probe_set=cut)
    work()
    job = run(submit(sessions, folder, probe_set=cut, evidence=NO_DRAWS))
    unit, image = top_image(sessions, job)
    assert image.box is not None
    pixels = pixels_of(fetched(client, work, f"/jobs/{job.id}/images/{image.row}?layer={LAYER}&unit={unit}"))
    part = scene(image.row - 1)[image.box.top : image.box.top + 100, image.box.left : image.box.left + 100]
    assert np.abs(pixels[:, :, 0] - part.astype(np.int16)).mean() < 3

    box = f"{image.box.left},{image.box.top},100,100"
    assert client.get(f"/jobs/{job.id}/images/{image.row}?box={box}").status_code == 200
    assert "`layer` and `unit`" in problem(client.get(f"/jobs/{job.id}/images/{image.row}"), 404)["remedy"]


def test_a_deleted_job_s_picture_is_nobody_s(
    client: TestClient,
    sessions: Sessions,
    job: Job,
    work: Work,
    runner: DissectionRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, image = top_image(sessions, job)
    assert client.get(f"/jobs/{job.id}/images/{image.row}").status_code == 202
    compute = runner.run

    def delete_meanwhile(lease: AnyLease, report_progress: Any, /) -> Any:
        with transaction(sessions) as session:
            session.execute(text("DELETE FROM jobs"))
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", delete_meanwhile)
    work()
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT count(*) FROM pictures")) == 0
    assert problem(client.get(f"/jobs/{job.id}/images/{image.row}"), 404)["field"] == "job"


def test_the_answer_waits_for_the_worker(client: TestClient, sessions: Sessions, job: Job, work: Work) -> None:
    unit, image = top_image(sessions, job)
    url = f"/jobs/{job.id}/images/{image.row}?layer={LAYER}&unit={unit}&heat=true"
    worker = threading.Timer(0.3, work)
    worker.start()
    answer = client.get(url, headers={"Prefer": "wait=10"})
    worker.join()
    pixels_of(answer)
