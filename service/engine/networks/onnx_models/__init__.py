"""Networks in the ONNX format: read without running code, run by onnxruntime, their tensors seen as layers."""
