"""Settings of the service: where it listens, how much it takes at once, and how long anything may last."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError

KEY_VARIABLE = "AGENTREC_API_KEY"


@dataclass(frozen=True)
class ServiceConfig:
    """How the service behaves; the API key is no setting and comes from the environment alone."""

    host: str = setting("127.0.0.1", "address to listen on; the default is reached from this machine only")
    port: int = setting(8000, "port to listen on; 0 takes a free one")
    max_requests: int = setting(256, "requests that run or wait at most; more are answered by 429")
    deadline: float = setting(30.0, "seconds until a request is answered by 504")
    max_body: int = setting(4_194_304, "bytes of a request's body at most; more are answered by 413")
    max_history: int = setting(1000, "items of a history at most")
    max_n: int = setting(200, "items of a list at most")
    max_beams: int = setting(512, "beam width at most, as a request may ask for")
    num_beams: int = setting(20, "beam width where a request names none; longer lists widen it")
    max_text: int = setting(1024, "tokens that a request may think at most")
    marker: str = setting("</think>", "token between what a model thinks and its items")
    drain: float = setting(30.0, "seconds that requests under way may take after SIGTERM")
    restarts: int = setting(3, "attempts to start a dead engine again, before the service ends with exit code 1")

    def __post_init__(self) -> None:
        for name in ("max_requests", "deadline", "max_body", "max_history", "max_n", "max_beams", "max_text", "drain"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"the service's {name} is {getattr(self, name)}; expected a positive number")
        if not 0 <= self.port <= 65535 or self.restarts < 0:
            raise ConfigError(
                f"the service's port is {self.port} and restarts {self.restarts}; expected a port of 0 to 65535 and "
                "0 restarts or more"
            )
        if not 1 <= self.num_beams <= self.max_beams:
            raise ConfigError(f"the service's num_beams is {self.num_beams}; expected 1 to max_beams, {self.max_beams}")

    @property
    def is_local(self) -> bool:
        """Whether the address is reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
