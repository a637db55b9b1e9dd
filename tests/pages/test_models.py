"""The pages of models."""

from sqlalchemy.orm import Session

from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.domain.input_contract import InputEntries
from service.domain.resources import Resource, ResourceKind
from service.domain.work import LayerListing
from tests.pages.results import bare_dissection, stored_dissection
from tests.pages.shown import links
from tests.pages.visitor import Visitor, words_of
from tests.usecases.factories import refuse, resource


def model(session: Session, name: str = "screening", digest: str = "1", **spec: object) -> Resource:
    return resource(
        session, ResourceKind.MODEL, name, digest, checkpoint="/m", architecture="a/b5", sha256=None, **spec
    )


def test_no_model(visitor: Visitor) -> None:
    page = visitor.get("/ui/models")
    assert "No model is registered yet." in words_of(page)
    assert 'aria-current="page">Models' in page


def test_models_with_their_newest_dissection(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = stored_dissection(session)
        refuse(session, model(session, "broken"))
    page = visitor.get("/ui/models")
    assert {"/ui/models/screening@1", "/ui/models/broken@1", f"/ui/jobs/{job}/layers"} <= set(links(page))
    assert "refused" in words_of(page)


def test_a_model_with_its_profile_and_dissections(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        stored_dissection(session)
        job = stored_dissection(session)
        model(session, digest="second")
    page = visitor.get("/ui/models/screening@1")
    words = words_of(page)
    assert "Layer profile" in words
    assert "clustered calcification 2" in words
    assert f'value="{job}"' in page, "the form asks about the newest dissection"
    assert page.count("Show here") == 2
    assert "named 2, unverified 1, unnamed 1, dead 1" in page, "the verdicts of the late layer, drawn"
    versions = page[page.index('id="versions"') : page.index('id="dissections"')]
    assert versions.index("screening@2") < versions.index("screening@1")
    assert "not dissected" in versions


def test_a_version_without_a_dissection(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        refuse(session, model(session))
    words = visitor.words("/ui/models/screening")
    assert "has not been dissected yet" in words
    assert "A worker could not open it: It has no weights." in words
    assert "No worker has noted it yet." in words


def test_the_input_contract_and_the_layers_of_a_model(visitor: Visitor, sessions: Sessions) -> None:
    entries: InputEntries = {
        "height": {"value": 384, "origin": "given"},
        "mean": {"value": [0.3, 0.2], "origin": "library"},
    }
    layer: LayerListing = {"name": "features.8", "units": 32, "kind": "Conv2d", "shape": [32, 7, 7]}
    with transaction(sessions) as session:
        registered = model(session)
        save_inspection(
            session,
            registered.id,
            layers=[layer],
            input={"values": entries, "warnings": ["<i>Photographs.</i>"]},
        )
    page = visitor.get("/ui/models/screening@1")
    words = words_of(page)
    assert "height 384 given" in words
    assert "mean 0.3, 0.2 library" in words
    assert "&lt;i&gt;Photographs." in page
    assert "32 \N{MULTIPLICATION SIGN} 7 \N{MULTIPLICATION SIGN} 7" in words


def test_an_older_dissection_may_be_shown(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        old = bare_dissection(session, model="screening")
        stored_dissection(session)
    page = visitor.get(f"/ui/models/screening?job={old}")
    assert f'value="{old}"' in page
    assert "not tested" in words_of(page)
    visitor.get("/ui/models/screening?job=x", 422)
    visitor.get("/ui/models/nobody", 404)
