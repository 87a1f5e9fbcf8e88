"""What runs an integer model: the exact reference, and onnxruntime."""
