"""What a worker's child reads of a data set whose rows are in the headers of its images alone."""

from collections.abc import Callable
from uuid import UUID

from service.db.listings import add_headers, forget_headers, iterate_headers, keep_listing
from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.domain.digests import digest_of_bytes
from service.domain.specs import probe_set_spec
from service.domain.work import ListingResult
from service.files import DataRoots
from service.layouts.dicom_headers import read_header
from service.layouts.listing import encode_listing
from service.layouts.remembered import RememberedHeaders
from service.usecases.manifests import ManifestSource
from service.usecases.probe_sets import describe_listing


def list_images(
    sessions: Sessions, roots: DataRoots, probe_set_id: UUID, report_progress: Callable[[int], None]
) -> ListingResult:
    """List the images of a registered data set by their headers, keep the rows, and say what they are.

    Decoder processes read the headers. Those that were read are kept now and then, so that another attempt goes on from
    there. Raises InvalidInput, InvalidManifest, FileOutOfReach, and what `report_progress` raises.
    """

    def keep(data: bytes) -> None:
        with transaction(sessions) as session:
            add_headers(session, probe_set_id, data)

    with transaction(sessions) as session:
        resource = get_resource(session, probe_set_id)
        kept = list(iterate_headers(session, probe_set_id))

    source = ManifestSource.of_spec(probe_set_spec(resource))
    pseudonyms = source.pseudonyms(roots)
    headers = RememberedHeaders(read_header, pseudonyms, kept, keep)

    def go_on() -> None:
        report_progress(0)
        headers.keep_read()

    read = source.list_images(roots, headers, pseudonyms, go_on)
    listing = encode_listing(read.rows)
    result = describe_listing(resource, roots, listing, read.notes)

    with transaction(sessions) as session:
        keep_listing(session, digest_of_bytes(listing), listing)
        forget_headers(session, probe_set_id)
    return result
