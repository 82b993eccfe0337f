"""Baselines to compare with: trained and tuned as well as ours, all bytes counted."""

from fmcompress.baselines.catalog import BASELINES, Baseline, run_baselines
from fmcompress.baselines.task import BaselineOptions, BaselinePoint, Chosen, Trial

__all__ = ["BASELINES", "Baseline", "BaselineOptions", "BaselinePoint", "Chosen", "Trial", "run_baselines"]
