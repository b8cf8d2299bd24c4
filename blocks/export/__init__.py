"""Networks written to files that other programs run: ONNX, `torch.export`, safetensors."""
