"""The descriptors of etcd's messages, which the control plane ships in place of generated code."""

from __future__ import annotations

import base64
import textwrap
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.parts.made import Made

SOURCE = "tools/etcd.proto"
TARGET = "control/coordination/etcd/descriptors.b64"


def make(root: Path) -> Made:
    try:
        protoc = import_module("grpc_tools.protoc")
    except ImportError:
        raise SystemExit("grpcio-tools, which reads tools/etcd.proto, is not installed: make dev") from None
    with TemporaryDirectory() as folder:
        made = Path(folder, "etcd.desc")
        source = root / SOURCE
        words = ["protoc", f"-I{source.parent}", f"--descriptor_set_out={made}", str(source)]
        if protoc.main(words) != 0:
            raise SystemExit(f"{SOURCE} is not understood")
        text = base64.b64encode(made.read_bytes()).decode()
    return Made({TARGET: "\n".join(textwrap.wrap(text, 100)) + "\n"}, {})
