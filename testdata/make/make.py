"""Makes the model families of testdata/, with test data and truth.

    python make.py OUT [FAMILY...]

Every family is seeded and made from scratch: OUT/<family>/ is removed first. See ../README.md.
"""

import sys

import adapters
import external
import homes
import lora
import merged
import t5

FAMILIES = {
    "t5-seq2seq": t5.make_seq2seq,
    "t5-lora": lora.make_family,
    "t5-lora-merged": merged.make_family,
    "homes": homes.make_family,
    "external": external.make_family,
    "adapters": adapters.make_family,
}


def main(out, *wanted):
    unknown = set(wanted) - FAMILIES.keys()
    if unknown:
        sys.exit(f"unknown family: {', '.join(sorted(unknown))}; known: {', '.join(FAMILIES)}")
    for name, make in FAMILIES.items():
        if not wanted or name in wanted:
            make(out)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
