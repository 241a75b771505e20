"""ONNX files as differentiable torch modules."""
