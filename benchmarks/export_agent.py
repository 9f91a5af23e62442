"""Make pretrained/ from finished runs: one agent whose networks decide together, stored small, with its graph.

    python benchmarks/export_agent.py --run vrd_run_0 vrd_run_1 --output pretrained

Each RUN holds best.pt (or last.pt) of main.py --train and graph.pickle of create_graph.py; they differ in --seed alone.
The members of all of them become the agent's, whose predicates are their mean; the network that chooses the next pair
is the first run's. Entity vectors are rotated, with the weights that see them, into at most as many dimensions as there
are entities, which leaves every output the same up to float rounding. Matrices are kept in 12 bits a number, all else
as it is. Says how large the file is, and how much rounding changes the weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.trained import checkpoint_of
from engine.parts import read_agent
from files.checkpoints import packed, save_checkpoint, unpacked
from files.io import InputError, reports_input_errors
from semantic_graph import SemanticActionGraph

LOCAL = ("image_embedding_weights", "entity_vectors")  # flags that name files of the machine that trained
MOST_BYTES = 4_000_000


def _merged(networks: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The first network with the members of all."""
    merged = {name: tensor for name, tensor in networks[0].items() if not name.startswith("members.")}
    count = 0
    for network in networks:
        numbers = sorted({int(name.split(".")[1]) for name in network if name.startswith("members.")})
        for number in numbers:
            old = f"members.{number}."
            merged |= {
                f"members.{count}.{name.removeprefix(old)}": tensor
                for name, tensor in network.items()
                if name.startswith(old)
            }
            count += 1
    return merged


def _with_short_vectors(network: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network on shorter entity vectors: C of them span no more than C numbers, however long they are.

    They are rotated into that space, and with them the last columns of the weights that see them: those of the members'
    first layers (the subject's vector, then the object's) and of the categories' parts of the candidate network.
    """
    vectors = network.get("entity_vectors.vectors")
    if vectors is None or vectors.shape[1] <= vectors.shape[0]:
        return network
    length = vectors.shape[1]
    values, basis = torch.linalg.svd(vectors.double(), full_matrices=False)[1:]
    rank = max(1, int((values > values[0] * 1e-6).sum()))
    basis = basis[:rank].T  # (length, rank)

    def turned(weights: torch.Tensor, count: int) -> torch.Tensor:
        before, seen = weights.double().split([weights.shape[1] - count * length, count * length], dim=1)
        return torch.cat([before, *(part @ basis for part in seen.split(length, dim=1))], dim=1).float()

    short = network | {"entity_vectors.vectors": (vectors.double() @ basis).float()}
    for name, weights in network.items():
        if name.startswith("members.") and name.endswith(".fusion.0.weight"):
            short[name] = turned(weights, 2)
        elif name == "candidate.categories.weight":
            short[name] = turned(weights, 1)
    return short


@reports_input_errors
def main(argv: list[str] | None = None) -> int:
    """The command line: see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=Path, nargs="+", required=True, help="--output_dir of a training, one a seed")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into")
    arguments = parser.parse_args(argv)
    graph = SemanticActionGraph.load(arguments.run[0] / "graph.pickle")
    agents = [read_agent(checkpoint_of(run)) for run in arguments.run]
    for run, saved in zip(arguments.run, agents, strict=True):
        if saved["description"] != agents[0]["description"] or saved["description"]["graph"] != graph.fingerprint():
            raise InputError(f"{run}: was trained on a different graph, or is another network; train with one command")
    merged = _with_short_vectors(_merged([saved["network"] for saved in agents]))
    target = arguments.output / "agent.pt"
    if not all(torch.isfinite(tensor).all() for tensor in merged.values()):
        raise InputError(
            f"{arguments.run[0]}: its weights are not all finite; train again with a lower --learning_rate"
        )
    network = {}
    for name, tensor in merged.items():
        is_matrix = tensor.ndim == 2 and name.startswith("members.")
        network |= packed(name, tensor) if is_matrix else {name: tensor}
    rounded = unpacked(network, target)
    worst = max(float((tensor - rounded[name].float()).abs().max()) for name, tensor in merged.items())
    model = agents[0]["description"]["model"]
    num_members = len(agents) * model["num_members"]
    about = {"num_members": num_members}
    if "entity_vectors.vectors" in merged:
        about["entity_vector_dimension"] = merged["entity_vectors.vectors"].shape[1]
    description = agents[0]["description"] | {"model": model | about}
    options = agents[0]["options"]
    options |= {"model": options["model"] | dict.fromkeys(LOCAL) | {"num_members": num_members}}
    content = {"options": options, "description": description, "network": network}
    save_checkpoint(target, content)
    graph.save(arguments.output / "graph.pickle")
    size = target.stat().st_size
    parameters = sum(tensor.numel() for tensor in merged.values())
    print(f"{target}: {parameters:,} numbers in {size:,} bytes; rounding moved no weight by more than {worst:.1g}.")
    if size > MOST_BYTES:
        raise InputError(f"{target}: is larger than {MOST_BYTES:,} bytes; train a smaller network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
