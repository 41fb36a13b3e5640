"""An HTTP service as a recommender: one POST of JSON per user, answered by a list of item ids.

The request, and the two forms of an answer, best item first::

    {"user_id": "7", "history": ["a", "b"], "n": 20, "exclude": ["a", "b"]}
    {"items": ["c", "d"]}    or    {"items": [{"id": "c", "score": 0.9}, {"id": "d", "score": 0.4}]}

``exclude`` holds the history where seen items are to be left out, and is empty otherwise; ``item_id`` is read like
``id``. Requests run in parallel, at most ``parallel`` at once; a busy or failing service is asked again. A token comes
from an environment variable and goes nowhere but into the header; messages and results name the URL without user,
password and query.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, RecommenderError, require
from agentrec.core.types import JSON, Catalogue, Histories, Recommendations
from agentrec.evaluation.adapters.answers import Ranked, id_text, read_answer, to_recommendations

if TYPE_CHECKING:
    import requests

BUSY = 429
PIECE = 2**14  # bytes read at once


@dataclass(frozen=True)
class Settings:
    """How a service is asked."""

    parallel: int = setting(8, "requests at once")
    timeout: float = setting(30.0, "seconds to wait for a connection, and for the next bytes of an answer")
    retries: int = setting(4, "how often a request is sent again after 429, 5xx, a timeout or a lost connection")
    backoff: float = setting(0.5, "seconds before the first repetition, doubled each time")
    longest_wait: float = setting(60.0, "give up where the service asks for a longer pause than this, in seconds")
    max_bytes: int = setting(1_000_000, "largest answer that is read")
    unknown_items: Literal["error", "drop"] = setting("error", "items that the catalogue lacks: refuse, or drop them")
    token_env: str | None = setting(None, "environment variable that holds a bearer token")

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("retries", 0), ("backoff", 0), ("longest_wait", 0), ("max_bytes", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.timeout <= 0:
            raise ConfigError(f"timeout is {self.timeout}; expected more than 0 seconds")


class Endpoint:
    """A service at a URL as a `agentrec.core.protocols.Recommender`.

    Args:
        url: where to POST.
        catalogue: the items; their ids are what travels.
        user_ids: the data set's user ids; an anonymous user is sent as null.
        settings: see `Settings`.

    Attributes:
        url: without user, password, query and fragment.
        latencies: seconds of every answered request, in the order of users.
        repeated: how many requests were sent again.
        short_lists: how many answers held fewer than n items.
        unknown_items: how many items were dropped.

    Raises:
        ConfigError: the URL is none, or the token's variable is not set.
        MissingExtraError: the library requests is not installed.
    """

    def __init__(
        self, url: str, catalogue: Catalogue, user_ids: Sequence[str] = (), *, settings: Settings | None = None
    ) -> None:
        require("requests", "http")
        self.url = shown_url(url)
        self._url = url
        self._settings = settings or Settings()
        self._token = _token(self._settings.token_env)
        self._ids = catalogue.ids
        self._index = catalogue.index()
        self._user_ids = tuple(user_ids)
        self._lock = threading.Lock()
        self.latencies: list[float] = []
        self.repeated = self.short_lists = self.unknown_items = 0

    @property
    def num_items(self) -> int:
        """N."""
        return len(self._ids)

    @property
    def provenance(self) -> JSON:
        """URL without secrets, settings, and what was counted so far."""
        counted = {"short_lists": self.short_lists, "unknown_items": self.unknown_items}
        return {**identity(self.url, self._settings), **counted}

    @property
    def usage(self) -> dict[str, float]:
        """Requests that were sent again, for cost reports."""
        return {"repeated_requests": float(self.repeated)}

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; one request per user.

        Raises:
            RecommenderError: the service cannot be reached, answers an error, or something else than was agreed.
        """
        asked = [
            self._request(int(user), [self._ids[item] for item in history], n, exclude_seen)
            for user, history in zip(histories.users, histories, strict=True)
        ]
        with _session(self._settings.parallel, self._authorisation()) as session, self._pool() as pool:
            answers = list(pool.map(lambda body: self._ask(session, body), asked))
        self.latencies.extend(answer.seconds for answer in answers)
        self.short_lists += sum(len(answer.ranked.items) < n for answer in answers)
        self.unknown_items += sum(answer.ranked.unknown for answer in answers)
        return to_recommendations([answer.ranked for answer in answers], n)

    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._settings.parallel, thread_name_prefix="endpoint")

    def _request(self, user: int, history: list[str], n: int, exclude_seen: bool) -> JSON:
        known = 0 <= user < len(self._user_ids)
        return {
            "user_id": self._user_ids[user] if known else None,
            "history": history,
            "n": n,
            "exclude": list(dict.fromkeys(history)) if exclude_seen else [],
        }

    def _ask(self, session: requests.Session, body: JSON) -> _Answer:
        for attempt in range(self._settings.retries + 1):
            reply = self._post(session, body)
            if reply.status == 200:
                return _Answer(self._read(reply.body, body["user_id"]), reply.seconds)
            again = reply.status == 0 or reply.status == BUSY or reply.status >= 500
            if not again or attempt == self._settings.retries:
                raise self._refused(reply, attempt + 1)
            pause = self._settings.backoff * 2**attempt if reply.retry_after is None else reply.retry_after
            if pause > self._settings.longest_wait:
                raise RecommenderError(
                    f"{self.url} answered {reply.status} and asks for a pause of {pause:g} seconds; expected at most "
                    f"{self._settings.longest_wait:g}, so wait, send fewer requests at once or raise longest_wait"
                )
            with self._lock:
                self.repeated += 1
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _post(self, session: requests.Session, body: JSON) -> _Reply:
        """Send one request; a lost connection or a timeout has status 0."""
        import requests

        start = time.perf_counter()
        wait = self._settings.timeout
        try:
            with session.post(self._url, json=body, timeout=wait, stream=True, allow_redirects=False) as response:
                content = b""
                for piece in response.iter_content(PIECE):
                    content += piece
                    if len(content) > self._settings.max_bytes:
                        raise RecommenderError(
                            f"{self.url} answered more than {self._settings.max_bytes} bytes for n = {body['n']}; "
                            "expected a short list of items, so raise max_bytes if that is right"
                        )
                pause = _seconds(response.headers.get("Retry-After"))
                return _Reply(response.status_code, content, time.perf_counter() - start, pause)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            return _Reply(0, type(error).__name__.encode(), time.perf_counter() - start, None)
        except requests.RequestException as error:  # their texts may hold the whole URL, hence `from None`
            raise RecommenderError(
                f"{self.url} cannot be asked ({type(error).__name__}); expected an http(s) address that takes POST"
            ) from None

    def _refused(self, reply: _Reply, attempts: int) -> RecommenderError:
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        if reply.status == 0:
            return RecommenderError(
                f"{self.url} gave no answer{tries} ({reply.body.decode()}); expected a running service, so check the "
                "address, or raise timeout"
            )
        said = " ".join(reply.body[:200].decode("utf-8", "replace").split())
        said = said if self._token is None else said.replace(self._token, "<token>")
        return RecommenderError(
            f"{self.url} answered status {reply.status}{tries} ({said or 'no text'}); expected 200"
            + {401: ", so name the variable of a valid token in token_env", 429: ", so lower parallel"}.get(
                reply.status, ", so look into the service's log"
            )
        )

    def _read(self, content: bytes, user: str | None) -> Ranked:
        """Check an answer against the form above."""
        who = "an anonymous user" if user is None else f"user {user!r}"
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RecommenderError(
                f'{self.url} answered status 200 and no JSON for {who} ({content[:60]!r}); expected {{"items": [...]}}'
            ) from error
        items = answer.get("items") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise RecommenderError(
                f"{self.url} answered status 200 and {_kind(answer, items)} for {who}; expected an object with a list "
                'under "items"'
            )
        entries = [self._entry(entry, f"items[{place}] for {who}") for place, entry in enumerate(items)]
        return read_answer(
            entries, self._index, name=self.url, place=f"for {who}", unknown=self._settings.unknown_items
        )

    def _entry(self, entry: Any, where: str) -> Any:
        """An id, or a pair of id and score, of one entry of the list."""
        expected = 'expected an id, or an object with "id" (text or a whole number) and "score"'
        refusal = f"{self.url} answered status 200 and {entry!r:.60} as {where}; {expected}"
        if not isinstance(entry, dict):
            return id_text(entry, refusal)
        item = id_text(entry.get("id", entry.get("item_id")), refusal)
        return item if entry.get("score") is None else (item, entry["score"])

    def _authorisation(self) -> Any:
        """What requests sends: the token, else user and password of the URL, and never those of ~/.netrc."""
        parts = urlsplit(self._url)
        if self._token is None and parts.username is not None:
            return unquote(parts.username), unquote(parts.password or "")

        def authorise(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if self._token is not None:
                request.headers["Authorization"] = f"Bearer {self._token}"
            return request

        return authorise


class _Reply(NamedTuple):
    status: int
    body: bytes
    seconds: float
    retry_after: float | None


class _Answer(NamedTuple):
    ranked: Ranked
    seconds: float


def identity(url: str, settings: Settings) -> JSON:
    """What results record: the URL without secrets, and the settings without the name of the token's variable."""
    values = asdict(settings)
    with_token = values.pop("token_env") is not None
    return {"url": shown_url(url), "with_token": with_token, **values}


def shown_url(url: str) -> str:
    """A URL without user, password, query and fragment.

    Raises:
        ConfigError: it is no http or https URL.

    Example:
        >>> shown_url("https://me:secret@example.org:8000/v1/recommendations?key=1#x")
        'https://example.org:8000/v1/recommendations'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigError("the endpoint's address is no URL; expected http://host:port/path or https://host/path")
    return urlunsplit((parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", parts.path, "", ""))


def _session(parallel: int, authorise: Any) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.auth = authorise
    session.headers["Accept"] = "application/json"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=parallel, pool_block=True))
    return session


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token or not (token.isascii() and token.isprintable()):
        raise ConfigError(f"the environment variable {variable} holds no token; expected a bearer token, so set it")
    return token


def _seconds(header: str | None) -> float | None:
    """``Retry-After``: seconds, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except (TypeError, ValueError):
            return None


def _kind(answer: Any, items: Any) -> str:
    if not isinstance(answer, Mapping):
        return f"a JSON {type(answer).__name__}"
    if "items" not in answer:
        return f"an object with the fields {', '.join(list(answer)[:8]) or 'none'}"
    return f'a {type(items).__name__} under "items"'
