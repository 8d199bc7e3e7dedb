"""A map of a bank, and the call that draws it."""

from __future__ import annotations

from dataclasses import dataclass

from .call import Call
from .timings import Timings
from .v1 import bank_pb2
from .v1.bank_pb2_grpc import BankServiceStub


@dataclass(frozen=True)
class MapPoint:
    """A question on the map."""

    id: str
    #: The first 200 characters of its text, and an ellipsis where there are more.
    text: str
    faq_id: str | None
    #: The metadata value that was asked for, as text.
    label: str | None
    #: Place: -1 to 1, both axes by one scale.
    x: float
    y: float
    #: Points with one number are near-duplicates, directly or by way of others with it.
    group: int | None


@dataclass(frozen=True)
class NearDuplicate:
    """Two questions that are nearly the same."""

    first: MapPoint
    second: MapPoint
    #: Their cosine.
    score: float
    #: Whether they phrase one FAQ or have the same answer. If not, one question has two answers.
    one_faq: bool


@dataclass(frozen=True)
class BankMap:
    """A bank's questions in a plane, like ones beside each other."""

    #: In the order of their ids.
    points: list[MapPoint]
    #: Pairs of points that are nearly the same, best first.
    near_duplicates: list[NearDuplicate]
    #: Number of questions of the bank; more than points where it was sampled.
    questions: int
    #: The share of the vectors' variance that lies in two directions, 0 to 1.
    variance: float
    #: The share of each point's 10 nearest neighbours that are among its 10 nearest on the map, 0 to 1.
    neighbours_kept: float
    timings: Timings
    #: Of how many questions near-duplicates were looked up; of some only while much of the bank waits for its graph.
    looked_up: int

    @classmethod
    def of(cls, message: bank_pb2.MapBankResponse) -> BankMap:
        """Read the message."""

        def point(message: bank_pb2.MapPoint) -> MapPoint:
            present = {name: message.HasField(name) for name in ("faq_id", "label", "group")}
            return MapPoint(
                id=message.id,
                text=message.text,
                faq_id=message.faq_id if present["faq_id"] else None,
                label=message.label if present["label"] else None,
                x=message.x,
                y=message.y,
                group=message.group if present["group"] else None,
            )

        points = [point(message) for message in message.points]
        near = [
            NearDuplicate(points[pair.first], points[pair.second], pair.score, pair.one_faq)
            for pair in message.near_duplicates
        ]
        return cls(
            points=points,
            near_duplicates=near,
            questions=message.questions,
            variance=message.variance,
            neighbours_kept=message.neighbours_kept,
            timings=Timings.of(message.timings),
            looked_up=message.looked_up,
        )


def map_bank(
    name: str,
    *,
    points: int | None = None,
    near_duplicate_score: float | None = None,
    label_key: str = "",
    seed: int | None = None,
) -> Call[BankMap]:
    """Lay a bank's questions out in a plane, and find those that are nearly the same.

    At most `points`, 1 to 10,000, 2,000 if None; a larger bank is sampled, as `seed` says. Two questions are
    near-duplicates from a cosine of `near_duplicate_score` on, 0.5 to 1, 0.95 if None. `label_key` names the metadata
    key whose value each point carries.

    Raises `NotFound`, `InvalidArgument`, and `OutOfRange` when the reply would be too large.
    """
    request = bank_pb2.MapBankRequest(
        name=name, points=points, near_duplicate_score=near_duplicate_score, label_key=label_key, seed=seed
    )
    return Call(BankServiceStub, "MapBank", request, BankMap.of)
