"""What a worker's child reads of a data set whose rows are in the headers of its images alone."""

from collections.abc import Callable
from uuid import UUID

from service.db.listings import keep_listing
from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.domain.digests import digest_of_bytes
from service.domain.specs import probe_set_spec
from service.domain.work import ListingResult
from service.files import DataRoots
from service.layouts.dicom_headers import read_header
from service.layouts.listing import encode_listing
from service.usecases.manifests import ManifestSource
from service.usecases.resources import describe_listing


def list_images(
    sessions: Sessions, roots: DataRoots, probe_set_id: UUID, report_progress: Callable[[int], None]
) -> ListingResult:
    """List the images of a registered data set by their headers, keep the rows, and say what they are.

    Decoder processes read the headers. Raises InvalidInput, InvalidManifest, FileOutOfReach, and what `report_progress`
    raises.
    """
    with transaction(sessions) as session:
        resource = get_resource(session, probe_set_id)

    source = ManifestSource.of_spec(probe_set_spec(resource))
    read = source.list_images(roots, read_header, lambda: report_progress(0))
    listing = encode_listing(read.rows)
    result = describe_listing(resource, roots, listing, read.notes)

    with transaction(sessions) as session:
        keep_listing(session, digest_of_bytes(listing), listing)
    return result
