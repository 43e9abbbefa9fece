"""Scaling-law studies: plan points, run them, fit the law with intervals, draw it."""
