"""How a client reaches its server: encryption, the API key, and what is set on the channel."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import grpc

#: PEM, or the path of a file of it.
Pem: TypeAlias = bytes | str | PathLike[str]


@dataclass(frozen=True)
class Tls:
    """An encrypted connection. `Tls()` trusts the authorities that come with grpcio."""

    #: Certificates of the authorities to trust instead.
    roots: Pem | None = None
    #: The client's own certificate, for a server that asks for one; with its key.
    certificate: Pem | None = None
    key: Pem | None = None
    #: The name in the server's certificate, if it is not the one in the address.
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises `OSError` if one cannot be read."""
        return grpc.ssl_channel_credentials(_read(self.roots), _read(self.key), _read(self.certificate))


def _read(pem: Pem | None) -> bytes | None:
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()


def channel_options(tls: Tls | None) -> list[tuple[str, str | int]]:
    """What is set on a channel."""
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"simbert-python/{version('simbert-client')}"),
        # The server limits its messages itself, by default to four times what grpcio takes.
        ("grpc.max_receive_message_length", -1),
        # A broken connection is tried again at the pace of `Retries`; grpcio's own is 1 s to 2 min.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def call_metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """What goes along with every call."""
    return () if api_key is None else (("authorization", f"Bearer {api_key}"),)
