"""First weights that keep the size of what passes through them."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def he(layer: nn.Linear) -> nn.Linear:
    """The start of a linear map with ReLU behind it (He et al. 2015, Eq. 10): weights N(0, 2 / inputs), biases 0.

    After ReLU the mean square is then that of the inputs. torch's own start has a sixth of this variance, and with it
    three such layers leave a fifteenth of the size, five a ninetieth.
    """
    nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def unit_gain(layer: nn.Linear) -> nn.Linear:
    """The start of a linear map with nothing behind it: weights N(0, 1 / inputs), bias 0, for a gain of 1."""
    nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
