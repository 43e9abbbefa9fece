"""Numpy only: spectra, geometry, decomposition. Pure functions with a source."""
