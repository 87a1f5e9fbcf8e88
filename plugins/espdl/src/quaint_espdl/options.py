"""What users may set for these chips, beside the configuration's own keys."""

from __future__ import annotations

from quaint.options import Option

#: The last version of the runtime whose behaviour is known here.
RUNTIME = "3.3.9"

OPTIONS = {
    "runtime": Option(
        RUNTIME, "version of ESP-DL on the board; operators that it lacks are refused", form=r"\d+\.\d+\.\d+"
    ),
    "table_step": Option(
        32,
        "distance of the entries of a 16-bit table; 1 is exact and takes 128 KiB",
        choices=tuple(1 << power for power in range(9)),
    ),
    "info": Option(default=True, help="write the .info text beside the .espdl file; an encrypted file has none"),
    "test_vectors": Option(default=True, help="embed a random test vector, which Model::test() runs on the board"),
    "encrypt": Option("", "file with the key, 32 hexadecimal digits: the .espdl file is encrypted", kept=False),
}
