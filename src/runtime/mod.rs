//! ONNX Runtime sessions: the encoder and the decoder.
