"""Probe sets: manifests, decoding, preprocessing, synthetic mammograms."""
