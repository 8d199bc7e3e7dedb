//! Writes the ONNX graphs of a model directory: `encoder.onnx`, `decoder.onnx` and their shared `weights.bin`.
