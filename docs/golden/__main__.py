"""Writes the golden vectors."""

from docs.golden.files import FOLDER, golden_files


def main() -> None:
    """Write each file in its place."""
    (FOLDER / "refused").mkdir(exist_ok=True)
    for path, data in golden_files().items():
        path.write_bytes(data)


if __name__ == "__main__":
    main()
