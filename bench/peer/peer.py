"""One measured PyTorch process: `peer.py PROBLEM.safetensors train|evaluate f32|bf16 eager|compile THREADS [cuda]`.

Answers in JSON lines. First {"losses"} or {"logits"}: what the first two steps or the first batch gave. Then, for each
number of seconds read from standard input, {"milliseconds": [...], "peakMegabytes"}: the steps done in that time.
"""

import json
import math
import resource
import struct
import sys
import time
import warnings

import torch
from network import Network
from torch.nn import functional as F

TYPES = {"F32": torch.float32, "U8": torch.uint8, "I32": torch.int32}


def read_problem(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = TYPES[entry["dtype"]]
        count = (end - start) // dtype.itemsize
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=start).reshape(entry["shape"])
    return json.loads(metadata["plan"]), tensors


def answer(message):
    print(json.dumps(message), flush=True)


def training(network, plan, pixels, labels, autocast, compiled):
    network.train()
    groups = {"masks": [], "batchNorm": [], "head": []}
    for name, parameter in network.named_parameters():
        kind = "masks" if name.endswith(".scores") else "head" if "/" not in name and "fc" in name else "batchNorm"
        groups[kind].append(parameter)
    optimizer = torch.optim.Adam(
        [{"params": members, "lr": plan["learningRates"][group]} for group, members in groups.items()], fused=True
    )

    def loss_of(pixels, labels):
        with autocast():
            logits = network(pixels)
        return F.cross_entropy(logits.float(), labels)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(pixels, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step().item(), step().item()]
    if not all(map(math.isfinite, losses)):
        sys.exit(f"its losses are {losses}")
    answer({"losses": losses})
    waiting = step()

    def pipelined():
        """The step before is waited for: two are in flight, as in our engines."""
        nonlocal waiting
        last, waiting = waiting, step()
        return last.item()

    return pipelined


def evaluation(network, pixels, autocast, compiled):
    network.fold()
    forward = torch.compile(network) if compiled else network

    def step():
        with torch.inference_mode(), autocast():
            logits = forward(pixels)
        return logits.cpu()  # waits for a GPU

    answer({"logits": step().float().flatten().tolist()})
    return step


def matrix_peak(dtype):
    """GFLOPS of a large matrix product, the best of a few."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = min(elapsed(lambda: a @ b) for _ in range(20))
    return 2 * 2048**3 / best / 1e9


def elapsed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main():
    path, task, precision, mode, threads, *rest = sys.argv[1:]
    device = rest[0] if rest else "cpu"
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(threads))
    torch.backends.cudnn.benchmark = True
    plan, tensors = read_problem(path)
    pixels, labels = tensors.pop("pixels").to(device), tensors.pop("labels").long().to(device)
    network = Network(plan, tensors).to(device)
    del tensors

    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")

    compiled = mode == "compile"
    if task == "train":
        step = training(network, plan, pixels, labels, autocast, compiled)
    else:
        step = evaluation(network, pixels, autocast, compiled)
    step()
    for line in sys.stdin:
        if line.strip() == "peak":
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            answer({"gigaflops": matrix_peak(dtype)})
            continue
        milliseconds = []
        end = time.perf_counter() + float(line)
        while time.perf_counter() < end or not milliseconds:
            milliseconds.append(1000 * elapsed(step))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if device == "cuda":
            peak = torch.cuda.max_memory_allocated() / 1e6
        answer({"milliseconds": milliseconds, "peakMegabytes": peak})


main()
