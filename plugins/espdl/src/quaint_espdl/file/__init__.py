"""The file: its elements, its bytes, its layouts."""
