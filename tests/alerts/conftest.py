"""Receivers that are closed after the test, settings that let alerts go to them, and a clock that is passed in."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from service.config import Settings
from service.db.session import Sessions
from tests.alerts.clockwork import Clockwork
from tests.alerts.receivers import Answer, Answering, MailServer, Receiver

MakeReceiver = Callable[..., Receiver]


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        alert_hosts="127.0.0.0/8",
        alert_timeout_s=5.0,
        smtp_host="127.0.0.1",
        smtp_tls="none",
        smtp_sender="alerts@hospital.test",
        data_roots="/",
    )


@pytest.fixture
def clockwork(sessions: Sessions, settings: Settings) -> Clockwork:
    return Clockwork(sessions, settings)


@pytest.fixture
def receiver() -> Iterator[MakeReceiver]:
    """Make a web server."""
    made: list[Receiver] = []

    def make(answering: Answering = Answer(), *, up: bool = True, tls: ssl.SSLContext | None = None) -> Receiver:  # noqa: B008
        made.append(Receiver(answering, up=up, tls=tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def mail_server() -> Iterator[Callable[..., MailServer]]:
    """Make a mail server."""
    made: list[MailServer] = []

    def make(*, up: bool = True, tls: ssl.SSLContext | None = None, from_the_first_byte: bool = False) -> MailServer:
        made.append(MailServer(up=up, tls=tls, from_the_first_byte=from_the_first_byte))
        return made[-1]

    yield make
    for one in made:
        one.close()


@dataclass(frozen=True)
class Certified:
    """The file of an authority, and a server's context with its certificate for alerts.hospital.test and 127.0.0.1."""

    authority: Path
    context: ssl.SSLContext


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hospital")])
    today = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("alerts.hospital.test"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = folder / "authority.pem", folder / "key.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return Certified(authority, context)
