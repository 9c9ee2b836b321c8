"""Zero-shot, probes, neighbours, retrieval, calibration: arrays in, numbers out."""
