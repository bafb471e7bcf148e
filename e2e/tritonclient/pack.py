"""Put the transcripts of a run into one archive, which the replaying test reads.

    python pack.py FOLDER ARCHIVE
"""

import pathlib
import sys
import zipfile


def main():
    folder, archive = map(pathlib.Path, sys.argv[1:])
    with zipfile.ZipFile(archive, "w") as z:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name)  # without the time, so that equal runs are equal
            entry.external_attr = 0o644 << 16
            z.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
