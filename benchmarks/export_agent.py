"""Make pretrained/ from a finished run: the agent in half precision, with its graph.

    python benchmarks/export_agent.py --run vrd_run --output pretrained

RUN holds best.pt (or last.pt) of main.py --train and graph.pickle of create_graph.py. Only what --predict needs is
kept: the network, what it is made of, and the flags that it was trained with. Says how large the file is, and how much
rounding changes the weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.parts import read_agent
from files.checkpoints import save_checkpoint
from files.io import InputError, reports_input_errors
from semantic_graph import SemanticActionGraph

LOCAL = ("image_embedding_weights", "entity_vectors")  # flags that name files of the machine that trained
MOST_BYTES = 4_000_000


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """The command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=Path, required=True, help="--output_dir of main.py --train")
    parser.add_argument("--graph", type=Path, help="its graph (default: RUN/graph.pickle)")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into")
    arguments = parser.parse_args(argv)
    path = next((arguments.run / name for name in ("best.pt", "last.pt") if (arguments.run / name).exists()), None)
    if path is None:
        raise InputError(f"{arguments.run}: has neither best.pt nor last.pt; train first")
    saved = read_agent(path)
    graph = SemanticActionGraph.load(arguments.graph or arguments.run / "graph.pickle")
    if saved["description"]["graph"] != graph.fingerprint():
        raise InputError(f"{path}: was trained on a different graph; give its own with --graph")
    network = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in saved["network"].items()
    }
    worst = max(
        float((tensor - network[name].float()).abs().max())
        for name, tensor in saved["network"].items()
        if tensor.numel()
    )
    options = saved["options"] | {"model": saved["options"]["model"] | dict.fromkeys(LOCAL)}
    target = arguments.output / "agent.pt"
    content = {"options": options, "description": saved["description"], "network": network}
    save_checkpoint(target, content)
    graph.save(arguments.output / "graph.pickle")
    size = target.stat().st_size
    parameters = sum(tensor.numel() for tensor in network.values() if isinstance(tensor, torch.Tensor))
    print(f"{target}: {parameters:,} numbers in {size:,} bytes; rounding moved no weight by more than {worst:.1g}.")
    if size > MOST_BYTES:
        raise InputError(f"{target}: is larger than {MOST_BYTES:,} bytes; train a smaller network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
