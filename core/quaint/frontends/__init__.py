"""Front ends: from a model file or a framework's object to a validated float model in memory."""
