"""Train, test and use the agent. `python main.py -h` shows every flag."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# PyTorch reads these once: large weights in large pages of memory; and threads that wait go to sleep soon. Spinning, as
# they do for milliseconds otherwise, they hold up the thread they wait for when another program needs a core, and
# training takes ten times as long.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch

from engine import distributed as ranks
from engine.options import MODEL_FLAGS, parse
from engine.parts import checkpoint_defaults, find_checkpoint, make_parts, needed_checkpoint, read_agent
from engine.prediction import predict
from engine.testing import test
from engine.training import Stopped, TrainingRun
from files.io import InputError, check_writable, reports_input_errors


def choose_device(name: str) -> torch.device:
    """The device of --device; with several processes on a machine with GPUs each takes its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: is no device; give cpu, cuda or cuda:1") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"--device {name}: this machine has no CUDA device; give --device cpu")
        if device.index is None:
            device = torch.device("cuda", ranks.local_rank())
        torch.cuda.set_device(device)
    return device


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    arguments = parse(argv)
    device = choose_device(arguments.device)
    check_writable(arguments.output_dir, "--output_dir")
    with ranks.process_group(device):
        if arguments.train:
            try:
                run = TrainingRun(make_parts(arguments, device))
                if arguments.resume:
                    run.resume()
                run.run()
            except Stopped:
                if ranks.rank() == 0:
                    print(f"\nStopped; {run.output / 'last.pt'} is written. Go on with the same command and --resume.")
                return 130
            except KeyboardInterrupt:
                print("\nStopped at once; what was written before stays as it is.", file=sys.stderr)
                return 130
        if arguments.test or arguments.predict:
            agent_walks = arguments.predict or "agent" in arguments.policy
            path = needed_checkpoint(arguments) if agent_walks else find_checkpoint(arguments)
            saved = read_agent(path) if path else None
            if saved:
                flags = {key: saved["arguments"][key] for key in MODEL_FLAGS if key in saved["arguments"]}
                arguments = parse(argv, flags | checkpoint_defaults(arguments, path))
                arguments.checkpoint = str(path)
            parts = make_parts(arguments, device, saved)
        if arguments.test:
            test(parts, saved)
        if arguments.predict:
            try:
                predict(parts, saved)
            except KeyboardInterrupt:
                print("\nStopped. The same command resumes.")
                return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
