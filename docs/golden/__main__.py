"""Writes the golden vectors."""

from docs.golden.files import golden_files


def main() -> None:
    """Write each file in its place."""
    for path, data in golden_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
