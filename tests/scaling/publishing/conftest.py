"""The digits as files, and networks of them."""

from tests.scaling.inference.conftest import copied, digit_files, here, model, onnx_file

__all__ = ["copied", "digit_files", "here", "model", "onnx_file"]
