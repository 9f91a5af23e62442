"""Train, test and use the agent. `python main.py -h` shows every flag."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.options import Options, parse
from files.io import check_writable, reports_input_errors
from files.locks import folder_lock

if TYPE_CHECKING:
    import torch

# PyTorch reads these once. Huge pages for large weights. Idle OpenMP threads sleep instead of spinning: when another
# program needs a core, spinning makes training ten times slower.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@reports_input_errors
def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(argv)  # before PyTorch is loaded: -h and a mistyped flag are answered at once
    from engine import distributed

    device = distributed.choose_device(options.device)
    check_writable(options.output_dir, "--output_dir")
    first = os.environ.get("RANK", "0") == "0"  # of several processes one holds the folder for all
    writes = first and (options.train or options.test)
    with (
        folder_lock(options.output_dir) if writes else contextlib.nullcontext(),
        distributed.process_group(device),
    ):
        if options.train and (status := train(options, device)):
            return status
        return test_and_predict(options, device) if options.test or options.predict else 0


def train(options: Options, device: torch.device) -> int:
    """--train: the exit status."""
    from engine.distributed import rank
    from engine.parts import make_parts, read_agent
    from engine.training import Stopped, TrainingRun

    try:
        saved = read_agent(options.init_from) if options.init_from else None
        if saved:
            options = options.of_agent(saved["options"], options.init_from)
        run = TrainingRun(make_parts(options, device, saved), saved)
        if options.resume:
            run.resume()
        run.run()
    except Stopped:
        if rank() == 0:
            print(f"\nStopped; {run.output / 'last.pt'} is written. To continue: the same command and --resume.")
        return 130
    except KeyboardInterrupt:
        print("\nStopped at once; what was written before stays as it is.", file=sys.stderr)
        return 130
    return 0


def test_and_predict(options: Options, device: torch.device) -> int:
    """--test and --predict, with the options that the agent was trained with: the exit status."""
    from engine.parts import checkpoint_defaults, find_checkpoint, make_parts, needed_checkpoint, read_agent
    from engine.prediction import predict
    from engine.testing import test

    path = needed_checkpoint(options) if options.predict or "agent" in options.policy else find_checkpoint(options)
    saved = read_agent(path) if path else None
    if saved:
        options = options.of_agent(saved["options"], path, checkpoint_defaults(options, path))
    parts = make_parts(options, device, saved)
    if options.test:
        test(parts, saved)
    if options.predict:
        try:
            predict(parts, saved)
        except KeyboardInterrupt:
            print("\nStopped. Run the same command again to continue.")
            return 130
    return 0


if __name__ == "__main__":
    status = main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # a thread of PyTorch that wants an ending interpreter aborts it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
