"""The digits as files, and networks of them."""

from tests.scaling.inference.conftest import digit_files, model, onnx_file

__all__ = ["digit_files", "model", "onnx_file"]
