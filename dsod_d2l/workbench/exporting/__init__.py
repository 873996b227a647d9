"""Networks that leave MXNet: as ONNX files, and detectors made of these."""
