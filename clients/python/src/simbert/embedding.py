"""Sentence vectors, and the calls that make them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .call import Call
from .limits import Limits
from .v1 import embedding_pb2
from .v1.embedding_pb2_grpc import EmbeddingServiceStub

if TYPE_CHECKING:
    import numpy
    import numpy.typing


@dataclass(frozen=True)
class Model:
    """The model that a server has loaded."""

    #: Hash of weights, tokenizer and pooling. Two models with the same fingerprint give the same vectors.
    fingerprint: str
    #: Width of a sentence vector.
    dimension: int
    #: What calls may ask for.
    limits: Limits


def embed(texts: Iterable[str]) -> Call[list[list[float]]]:
    """Encode 1 to 1024 texts, each of at most 8 KiB and not blank: one vector of length 1 for each, in their order.

    The model reads a text's first tokens only, 64 with the bundled model. Raises `InvalidArgument`.
    """

    def read(reply: embedding_pb2.EmbedResponse) -> list[list[float]]:
        return [list(vector.values) for vector in reply.vectors]

    return Call(EmbeddingServiceStub, "Embed", _request(texts), read)


def embed_array(texts: Iterable[str]) -> Call[numpy.typing.NDArray[numpy.float32]]:
    """Encode texts as `embed` does, into a numpy array of shape (texts, dimension).

    Raises `ImportError` if numpy is not installed.
    """
    import numpy

    def read(reply: embedding_pb2.EmbedResponse) -> numpy.typing.NDArray[numpy.float32]:
        return numpy.array([vector.values for vector in reply.vectors], dtype=numpy.float32)

    return Call(EmbeddingServiceStub, "Embed", _request(texts), read)


def get_model() -> Call[Model]:
    """Say which model is loaded, and what calls may ask for."""

    def read(reply: embedding_pb2.GetModelResponse) -> Model:
        return Model(reply.fingerprint, reply.dimension, Limits.of(reply.limits))

    return Call(EmbeddingServiceStub, "GetModel", embedding_pb2.GetModelRequest(), read)


def _request(texts: Iterable[str]) -> embedding_pb2.EmbedRequest:
    """The request; one text by itself would be taken for a list of its letters."""
    if isinstance(texts, str):
        raise TypeError("texts: expected a list of texts, received one text")
    return embedding_pb2.EmbedRequest(texts=texts)
