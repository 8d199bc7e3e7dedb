"""Banks, and the calls that make and remove them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .call import Call
from .v1 import bank_pb2
from .v1.bank_pb2_grpc import BankServiceStub


class Quantisation(enum.Enum):
    """How graphs see vectors. What they find is scored by the exact vectors all the same."""

    #: As they are: 4 bytes a component in memory.
    OFF = bank_pb2.QUANTISATION_OFF
    #: Half precision: 2 bytes.
    F16 = bank_pb2.QUANTISATION_F16
    #: One byte a component, with one scale for each vector; what a bank gets unless asked otherwise.
    INT8 = bank_pb2.QUANTISATION_INT8


@dataclass(frozen=True)
class Bank:
    """What a bank is and holds."""

    name: str
    #: Free text, as given when the bank was made.
    description: str
    #: Number of questions.
    questions: int
    #: Number of different FAQ ids.
    faqs: int
    #: Width of its vectors.
    dimension: int
    #: The model that its vectors come from.
    model_fingerprint: str
    #: Size of its folder.
    bytes_on_disk: int
    #: Questions that are searched through the graph; the others are compared one by one. 0 for a bank that nobody has
    #: used since the server started.
    questions_in_graph: int
    quantisation: Quantisation
    #: Memory that searches need, in bytes. 0 for a bank that nobody has used since the server started.
    index_bytes: int
    #: Graphs that were damaged on the disk when the bank was opened; they are made again of the vectors.
    damaged_graphs: int

    @classmethod
    def of(cls, message: bank_pb2.Bank) -> Bank:
        """Read the message."""
        return cls(
            name=message.name,
            description=message.description,
            questions=message.questions,
            faqs=message.faqs,
            dimension=message.dimension,
            model_fingerprint=message.model_fingerprint,
            bytes_on_disk=message.bytes_on_disk,
            questions_in_graph=message.questions_in_graph,
            quantisation=Quantisation(message.quantisation or bank_pb2.QUANTISATION_INT8),
            index_bytes=message.index_bytes,
            damaged_graphs=message.damaged_graphs,
        )


def create_bank(
    name: str, *, description: str = "", quantisation: Quantisation | None = None, allow_existing: bool = False
) -> Call[Bank]:
    """Make an empty bank.

    `name` has 1 to 64 letters, digits, `_`, `-` or `.`, and does not start with `.`; `description` is at most 4 KiB;
    `quantisation` is for good, and the server's choice if None. `allow_existing` gives the bank that is there, with
    what it holds, if it was made the same way; without that the call is never repeated by itself.

    Raises `AlreadyExists` and `InvalidArgument`.
    """
    request = bank_pb2.CreateBankRequest(
        name=name,
        description=description,
        quantisation=bank_pb2.QUANTISATION_UNSPECIFIED if quantisation is None else quantisation.value,
        allow_existing=allow_existing,
    )
    return Call(BankServiceStub, "CreateBank", request, lambda reply: Bank.of(reply.bank), repeatable=allow_existing)


def get_bank(name: str) -> Call[Bank]:
    """Describe one bank. Raises `NotFound`."""
    request = bank_pb2.GetBankRequest(name=name)
    return Call(BankServiceStub, "GetBank", request, lambda reply: Bank.of(reply.bank))


def list_banks() -> Call[list[Bank]]:
    """Describe all banks, ordered by name."""
    request = bank_pb2.ListBanksRequest()
    return Call(BankServiceStub, "ListBanks", request, lambda reply: [Bank.of(bank) for bank in reply.banks])


def delete_bank(name: str, *, allow_missing: bool = False) -> Call[None]:
    """Remove a bank and all that it holds, at once and for good.

    Raises `NotFound` unless `allow_missing`, without which the call is never repeated by itself.
    """
    request = bank_pb2.DeleteBankRequest(name=name, allow_missing=allow_missing)
    return Call(BankServiceStub, "DeleteBank", request, lambda _: None, repeatable=allow_missing)
