"""One attempt to deliver an alert by e-mail."""

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from service.config import Settings
from service.delivery.failed import AttemptFailed
from service.domain.alerts import ALERT_KINDS, JSON, Alert, Failure

LONGEST_TIMEOUTS = 4
"""Once there is a connection, a message may take so many times what one answer of the mail server may take."""

_EXCERPT = 200
_POLICY = SMTP.clone(cte_type="7bit")
"""Lines and letters as every mail server takes them."""


def compose(alert: Alert, sender: str, address: str) -> EmailMessage:
    """The message: plain text, the same in every attempt, its Message-ID made from the alert's id."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = address
    message["Subject"] = alert.subject
    message["Date"] = format_datetime(alert.at.astimezone(UTC))
    message["Message-ID"] = f"<{alert.message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"

    sent_at = alert.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        ALERT_KINDS.get(alert.kind, alert.subject),
        "",
        *_lines(alert.data),
        "",
        f"alert: {alert.message_id}",
        f"kind: {alert.kind}",
        f"time: {sent_at}",
    ]
    message.set_content("\n".join(lines))
    return message


def send(message: EmailMessage, settings: Settings, *, context: ssl.SSLContext) -> int:
    """Hand the message to the mail server and return its last status.

    Raises AttemptFailed: MAIL_REJECTED where the server refuses this address or message for good, another failure
    where a later attempt may succeed. What the server holds against us (login, sender) is of the second kind.
    Once there is a connection, it lasts LONGEST_TIMEOUTS times ALERT_TIMEOUT_S at most, however slow the answers are.
    """
    if settings.smtp_user and settings.smtp_tls == "none":
        raise AttemptFailed(Failure.SETTINGS, "SMTP_USER is set, but a password is not sent without TLS: set SMTP_TLS.")
    if not settings.smtp_host or not settings.smtp_sender:
        raise AttemptFailed(Failure.SETTINGS, "Alerts by e-mail need both SMTP_HOST and SMTP_SENDER.")

    try:
        server = _connected(settings, context)
        try:
            with _cut_off(server, LONGEST_TIMEOUTS * settings.alert_timeout_s):
                _introduce(server, settings, context)
                return _hand_over(server, message, settings.smtp_sender)
        finally:
            with suppress(OSError, smtplib.SMTPException):  # whatever follows the message does not undo it
                server.putcmd("quit")
            server.close()
    except TimeoutError as error:
        raise AttemptFailed(Failure.TIMEOUT, "The mail server did not answer in time.") from error
    except ssl.SSLCertVerificationError as error:
        detail = f"The mail server's certificate is not trusted: {error.verify_message}."
        raise AttemptFailed(Failure.TLS, detail) from error
    except ssl.SSLError as error:
        raise AttemptFailed(Failure.TLS, "The TLS connection to the mail server failed.") from error
    except smtplib.SMTPResponseException as error:
        raise _server_said(Failure.MAIL_SERVER, error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise AttemptFailed(
            Failure.MAIL_SERVER, f"The mail server does not support the configured login or TLS: {error}"
        ) from error
    except smtplib.SMTPServerDisconnected as error:
        raise AttemptFailed(Failure.CONNECTION, "The mail server ended the connection.") from error
    except (OSError, smtplib.SMTPException) as error:
        detail = f"{settings.smtp_host}:{settings.smtp_port} cannot be reached."
        raise AttemptFailed(Failure.CONNECTION, detail) from error


def _connected(settings: Settings, context: ssl.SSLContext) -> smtplib.SMTP:
    host, port, timeout = settings.smtp_host, settings.smtp_port, settings.alert_timeout_s
    if settings.smtp_tls == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
    return smtplib.SMTP(host, port, timeout=timeout)


def _introduce(server: smtplib.SMTP, settings: Settings, context: ssl.SSLContext) -> None:
    if settings.smtp_tls == "starttls":
        server.starttls(context=context)
    if settings.smtp_user:
        server.login(settings.smtp_user, settings.smtp_password.get_secret_value())


@contextmanager
def _cut_off(server: smtplib.SMTP, after_s: float) -> Iterator[None]:
    """End the connection after so many seconds, for a read's own timeout begins anew with every byte.

    Raises TimeoutError then.
    """
    ended = threading.Event()
    cut = threading.Event()

    def watch() -> None:
        pause = after_s
        while not ended.wait(pause):
            cut.set()
            pause = 1.0  # in the middle of STARTTLS it has to be done again
            with suppress(OSError):
                if server.sock is not None:
                    socket.socket.shutdown(server.sock, socket.SHUT_RDWR)

    threading.Thread(target=watch, name="mail deadline", daemon=True).start()
    try:
        yield
    except (OSError, smtplib.SMTPException) as error:
        if cut.is_set():
            raise TimeoutError from error
        raise
    finally:
        ended.set()


def _hand_over(server: smtplib.SMTP, message: EmailMessage, sender: str) -> int:
    server.ehlo_or_helo_if_needed()
    status, reply = server.mail(sender)
    if status != 250:
        raise _server_said(Failure.MAIL_SERVER, status, reply)

    status, reply = server.rcpt(str(message["To"]))
    if status not in {250, 251}:
        raise _refused(status, reply)

    try:
        status, reply = server.data(message.as_bytes())
    except smtplib.SMTPDataError as error:
        raise _refused(error.smtp_code, error.smtp_error) from error

    if status != 250:
        raise _refused(status, reply)

    return status


def _refused(status: int, reply: bytes | str) -> AttemptFailed:
    failure = Failure.MAIL_REJECTED if status >= 500 else Failure.MAIL_DEFERRED
    return _server_said(failure, status, reply)


def _server_said(failure: Failure, status: int, reply: bytes | str) -> AttemptFailed:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    printable = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(printable.split())
    return AttemptFailed(failure, f"The mail server said {status}: {words[:_EXCERPT]}", status=status)


def _lines(value: JSON, indent: str = "") -> Iterator[str]:
    """JSON as lines for people: one value a line, what is inside another further to the right."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _entry(f"{indent}{name}:", inner, indent)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _entry(f"{indent}-", inner, indent)
    else:
        yield f"{indent}{_word(value)}"


def _entry(head: str, value: JSON, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield f"{head} {_word(value)}"


def _word(value: JSON) -> str:
    if value is None or value in ([], {}, ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())
