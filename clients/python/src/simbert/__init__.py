"""Client for simbert, a vector search engine for FAQ retrieval.

>>> from simbert import Client, Filter
>>> with Client("127.0.0.1:50051") as client:
...     hits = client.search("怎么退款", bank="faq", k=3, filter=Filter.equals("lang", "zh"))

`Client` waits for its answers, `AsyncClient` is for asyncio; both have a method for each RPC of `proto/simbert/v1`, by
the same name. What fails raises a subclass of `SimbertError`. The messages themselves are in `simbert.v1`.
"""

from .async_client import AsyncClient
from .bank import Bank, Quantisation
from .bank_map import BankMap, MapPoint, NearDuplicate
from .bulk import BulkProgress, BulkResult, Failure
from .client import Client
from .connection import Tls
from .embedding import Model
from .errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    QuestionsRefused,
    ResourceExhausted,
    SimbertError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
)
from .filter import Filter
from .limits import Limits
from .paraphrase import Paraphrase, Paraphrases, Sampling, Written
from .progress import ProgressLine
from .question import Found, Page, Question, QuestionLike, Upserted
from .retries import Retries
from .search import ExpandedResult, Hit, MaximumScore, ReciprocalRank, SearchResult
from .snapshot import Snapshot
from .timings import Timings

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "Bank",
    "BankMap",
    "BulkProgress",
    "BulkResult",
    "Cancelled",
    "Client",
    "DataLoss",
    "DeadlineExceeded",
    "ExpandedResult",
    "FailedPrecondition",
    "Failure",
    "Filter",
    "Found",
    "Hit",
    "Internal",
    "InvalidArgument",
    "Limits",
    "MapPoint",
    "MaximumScore",
    "Model",
    "NearDuplicate",
    "NotFound",
    "OutOfRange",
    "Page",
    "Paraphrase",
    "Paraphrases",
    "PermissionDenied",
    "ProgressLine",
    "Quantisation",
    "Question",
    "QuestionLike",
    "QuestionsRefused",
    "ReciprocalRank",
    "ResourceExhausted",
    "Retries",
    "Sampling",
    "SearchResult",
    "SimbertError",
    "Snapshot",
    "Timings",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "Upserted",
    "Written",
]
