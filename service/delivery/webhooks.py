"""One attempt to deliver a webhook."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version

import httpx

from service.delivery.addresses import Destination
from service.delivery.failed import AttemptFailed
from service.domain.alerts import Failure

_CONNECT_S = 5.0
_MOST_ADDRESSES = 4
_EXCERPT_BYTES = 2_000
_EXCERPT = 200
_USER_AGENT = f"mammodissect/{version('mammo-clip-dissect-service')}"
_SECRETS = re.compile(
    r"(?i)(whsec_|bearer\s+|basic\s+|(?:password|passwd|secret|token|api[-_]?key)[\"'\s:=]+)[^\s\"',;&]+"
)


def post(
    destination: Destination,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_s: float,
    context: ssl.SSLContext,
    at: datetime,
) -> int:
    """Post the body and return the status, which is 2xx. Raises AttemptFailed for everything else.

    Takes `timeout_s` at most, however slowly the receiver answers. at: the time, against which Retry-After is read.
    """
    return asyncio.run(_within(destination, headers, body, timeout_s, context, at))


async def _within(
    destination: Destination,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    context: ssl.SSLContext,
    at: datetime,
) -> int:
    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    try:
        async with (
            asyncio.timeout(timeout_s),
            # No proxy, no .netrc: the environment must not lead it elsewhere than where we looked.
            httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False, follow_redirects=False) as client,
        ):
            return await _at_one_of(destination, headers, body, client, at)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise AttemptFailed(Failure.TIMEOUT, f"No answer within {timeout_s:g} s.") from error
    except httpx.ConnectError as error:
        raise _unconnected(error, destination) from error
    except httpx.NetworkError as error:
        raise AttemptFailed(Failure.CONNECTION, "The connection broke before an answer arrived.") from error
    except httpx.HTTPError as error:
        raise AttemptFailed(Failure.PROTOCOL, f"The answer is not valid HTTP: {type(error).__name__}.") from error


async def _at_one_of(
    destination: Destination, headers: Mapping[str, str], body: bytes, client: httpx.AsyncClient, at: datetime
) -> int:
    *earlier, last = destination.addresses[:_MOST_ADDRESSES]
    for address in earlier:
        try:
            return await _post(destination, address, headers, body, client, at)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue  # a host with several addresses may be reachable at another one

    return await _post(destination, last, headers, body, client, at)


async def _post(
    destination: Destination,
    address: str,
    headers: Mapping[str, str],
    body: bytes,
    client: httpx.AsyncClient,
    at: datetime,
) -> int:
    request = client.build_request(
        "POST",
        destination.url_at(address),
        content=body,
        headers={
            **headers,
            "host": destination.host_header,
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "accept-encoding": "identity",
        },
        # The connection goes to the address that was looked up and checked; the certificate has to be the name's.
        extensions={"sni_hostname": destination.host},
    )

    response = await client.send(request, stream=True)
    try:
        if response.is_success:
            return response.status_code
        raise await _refused(response, at)
    finally:
        await response.aclose()


async def _refused(response: httpx.Response, at: datetime) -> AttemptFailed:
    status = response.status_code
    if 300 <= status < 400:
        return AttemptFailed(Failure.REDIRECT, "Redirects are not followed; register the new URL.", status=status)
    failure = Failure.GONE if status == HTTPStatus.GONE else Failure.STATUS
    retry_after = _retry_after(response.headers.get("retry-after"), at)
    return AttemptFailed(failure, await _excerpt(response), status=status, retry_after=retry_after)


async def _excerpt(response: httpx.Response) -> str:
    """The status, and how the answer begins: one short line without what looks like a secret."""
    beginning = b""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    if media_type.startswith("text/") or media_type.endswith("json"):
        with suppress(httpx.HTTPError):  # the status counts, not the words
            async for piece in response.aiter_raw():
                beginning += piece
                if len(beginning) >= _EXCERPT_BYTES:
                    break

    text = beginning[:_EXCERPT_BYTES].decode("utf-8", "replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(printable.split())
    excerpt = _SECRETS.sub(r"\1***", words)[:_EXCERPT]

    answered = f"The receiver answered {response.status_code}"
    return f"{answered}: {excerpt}" if excerpt else f"{answered}."


def _retry_after(text: str | None, at: datetime) -> timedelta | None:
    """Retry-After, in seconds or as a date; None where there is none that can be read."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return timedelta(seconds=min(int(text), 10**6))

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None

    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(timedelta(0), moment - at)


def _unconnected(error: httpx.ConnectError, destination: Destination) -> AttemptFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AttemptFailed(Failure.TLS, f"Its certificate is not trusted: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return AttemptFailed(Failure.TLS, "The TLS connection failed.")
        cause = cause.__cause__ or cause.__context__

    return AttemptFailed(Failure.CONNECTION, f"{destination.host}:{destination.port} refused the connection.")
