"""What every form of input to a network can do: tokens, pixels, windows of long texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Features(Protocol):
    """N examples as a network takes them."""

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each, 1 or patches for an image."""

    @property
    def lengths_W(self) -> np.ndarray:
        """Tokens of each piece that is read at once: of an example, or of a window of a long one."""

    def __len__(self) -> int:
        """N."""

    def take(self, indices: np.ndarray) -> Any:
        """The examples at `indices` alone, in the same form."""

    def batch(self, indices: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """The network's named inputs for these pieces; varied where that is done in training."""

    def arrays(self) -> tuple[Any, ...]:
        """All that the examples consist of."""
