"""A key-value cache that is appended to in place: room is set aside once, and nothing that lies there is moved again.

Transformers' own growing cache copies all that it holds at every step. Here a search copies the prompt's part once,
into a buffer with room for all its beams.
"""

from __future__ import annotations

import copy
from functools import cache as once
from typing import Any


def with_room(prompt_cache: Any, room: int) -> Any:
    """A cache that begins like another one, which is left as it is.

    Args:
        prompt_cache: a `transformers.DynamicCache` of T positions.
        room: positions that may be appended.
    """
    made = copy.copy(prompt_cache)
    made.layers = [_layer_type()(layer, room) for layer in prompt_cache.layers]
    return made


@once
def _layer_type() -> type:
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values (B, H, S, D) as views of longer buffers."""

        def __init__(self, layer: Any, room: int) -> None:
            super().__init__()
            self.__dict__.update(layer.__dict__)
            self._length: int = layer.keys.shape[2]
            self._buffers = [self._roomy(part, room) for part in (layer.keys, layer.values)]

        @staticmethod
        def _roomy(part: Any, room: int) -> Any:
            batch, heads, length, width = part.shape
            buffer = part.new_empty(batch, heads, length + room, width)
            buffer[:, :, :length] = part
            return buffer

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Write behind what is there, and return all."""
            start, end = self._length, self._length + key_states.shape[2]
            for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
                buffer[:, :, start:end] = new
            self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
            self._length = end
            return self.keys, self.values

    return RoomyLayer
