"""Pictures of networks: a layout of shapes, written as SVG or as PNG."""
