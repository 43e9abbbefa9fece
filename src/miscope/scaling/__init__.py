"""Scaling-law studies: plan, run, fit and plot; see docs/scaling.md."""
