"""Plots of automata, matches, aggregates, scores and data in Plotly (`pip install 'cep[plot]'`)."""

from cep.plots.aggregates import windows
from cep.plots.automata import automaton
from cep.plots.backtests import precision_recall, scores
from cep.plots.distributions import distribution
from cep.plots.funnels import funnel
from cep.plots.lanes import lanes
from cep.plots.late_events import lateness
from cep.plots.matches import matches_over_time
from cep.plots.sweeps import sweep_heatmap
from cep.plots.timelines import timeline

__all__ = [
    "automaton",
    "distribution",
    "funnel",
    "lanes",
    "lateness",
    "matches_over_time",
    "precision_recall",
    "scores",
    "sweep_heatmap",
    "timeline",
    "windows",
]
