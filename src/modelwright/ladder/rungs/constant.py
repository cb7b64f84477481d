"""The constant answer."""

from __future__ import annotations

from modelwright.ladder.rung import Rung
from modelwright.models.fitting.constant import fit_constant

RUNG = Rung("constant", fit_constant, lambda schema, count: None, lambda schema, train: 0.01)
