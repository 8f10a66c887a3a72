"""Build wheel and sdist twice, from two copies of the committed tree, and compare their bytes.

    python scripts/reproducible_build.py [--output FOLDER]

The copies differ in path, umask and times of their files. SOURCE_DATE_EPOCH is the time of the last commit. Prints
name, size and SHA-256 of each file as JSON. Needs git and hatchling.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]


def built(copy: Path, umask: int) -> dict[str, bytes]:
    """Return the files that hatchling builds from a copy of the committed tree."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    before = os.umask(umask)
    try:
        copy.mkdir(parents=True)
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(copy, filter="data")
        for path in copy.rglob("*"):
            os.utime(path, (umask, umask))
            path.chmod(0o777 & ~umask if path.is_dir() else 0o666 & ~umask)
        epoch = subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--directory", "built"],
            cwd=copy,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
    finally:
        os.umask(before)
    return {path.name: path.read_bytes() for path in sorted((copy / "built").iterdir())}


def main() -> int:
    """Build, compare, print. Returns 1 if a file differs."""
    parser = argparse.ArgumentParser(description="Build twice and compare.")
    parser.add_argument("--output", type=Path, help="where the files are kept")
    output = parser.parse_args().output
    with TemporaryDirectory() as aside:
        one = built(Path(aside) / "one", 0o022)
        other = built(Path(aside) / "another" / "place", 0o077)
        if output is not None:
            shutil.copytree(Path(aside) / "one" / "built", output, dirs_exist_ok=True)
    found = [
        {
            "file": name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "equal": other.get(name) == content,
        }
        for name, content in one.items()
    ]
    print(json.dumps(found, indent=1))
    return int(one != other)


if __name__ == "__main__":
    sys.exit(main())
