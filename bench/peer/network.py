"""The XBM network in PyTorch, built from the layer graph that bench/cpu.ts writes. For measurements only.

Written as one would write it for speed in eager PyTorch: frozen weights dequantised once and kept channels-last, one
autograd function per straight-through rule, in-place element-wise passes where autograd allows them.
"""

import torch
from torch import nn
from torch.nn import functional as F


class MaskedWeight(torch.autograd.Function):
    """weight * hard(sigmoid(slope * (score - threshold))), one score per `rows` rows of a filter."""

    @staticmethod
    def forward(ctx, scores, weight, rows, threshold, slope):
        ctx.save_for_backward(scores, weight)
        ctx.rows, ctx.threshold, ctx.slope = rows, threshold, slope
        return weight * mask_of_rows((scores >= threshold).float(), weight.shape, rows)

    @staticmethod
    def backward(ctx, gradient):
        scores, weight = ctx.saved_tensors
        out_channels, in_channels, kernel, _ = weight.shape
        taps = kernel * kernel
        products = gradient * weight
        if ctx.rows % taps == 0:
            per_row, rows = products.sum((2, 3)), ctx.rows // taps
        else:
            per_row, rows = products.reshape(out_channels, -1), ctx.rows
        missing = scores.shape[1] * rows - per_row.shape[1]
        segments = F.pad(per_row, (0, missing)).view(out_channels, -1, rows)
        soft = torch.sigmoid(ctx.slope * (scores - ctx.threshold))
        return segments.sum(2) * (ctx.slope * soft * (1 - soft)), None, None, None, None


def mask_of_rows(hard, shape, rows):
    """Bits [outC, bits] -> a factor that broadcasts over weights [outC, inC, k, k]."""
    out_channels, in_channels, kernel, _ = shape
    taps = kernel * kernel
    if rows % taps == 0:  # a bit covers whole input channels
        return hard.repeat_interleave(rows // taps, 1)[:, :in_channels].view(out_channels, in_channels, 1, 1)
    return hard.repeat_interleave(rows, 1)[:, : in_channels * taps].view(shape)


class QuantizedActivation(torch.autograd.Function):
    """round(clip(x, 0, clip) / step) * step, straight through inside the clip: ReLU and quantiser in one."""

    @staticmethod
    def forward(ctx, value, clip, levels):
        ctx.save_for_backward(value)
        ctx.clip = clip
        return F.hardtanh(value, 0.0, clip).mul_(levels / clip).round_().mul_(clip / levels)

    @staticmethod
    def backward(ctx, gradient):
        (value,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, value, 0.0, ctx.clip), None, None


class MaskedConv(nn.Module):
    def __init__(self, layer, weight, scores, mask):
        super().__init__()
        self.stride, self.padding, self.mask = layer["stride"], layer["padding"], mask
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.scores = nn.Parameter(scores)

    def effective(self):
        rows, threshold, slope = self.mask["rows"], self.mask["threshold"], self.mask["slope"]
        return MaskedWeight.apply(self.scores, self.weight, rows, threshold, slope)

    def forward(self, value):
        return F.conv2d(value, self.effective(), None, self.stride, self.padding)


class FoldedConv(nn.Module):
    """A masked convolution for evaluation: its weights are multiplied by the mask once."""

    def __init__(self, conv):
        super().__init__()
        self.stride, self.padding = conv.stride, conv.padding
        self.register_buffer("weight", conv.effective().detach())

    def forward(self, value):
        return F.conv2d(value, self.weight, None, self.stride, self.padding)


class Network(nn.Module):
    def __init__(self, plan, tensors):
        super().__init__()
        self.layers = plan["layers"]
        self.clips = plan["clips"]
        self.quantized = plan["activationBits"] < 32
        self.levels = float(2 ** plan["activationBits"] - 1)
        normalization = plan["normalization"]
        self.register_buffer("mean", torch.tensor(normalization["mean"]).view(1, 3, 1, 1) * 255)
        self.register_buffer("deviation", torch.tensor(normalization["std"]).view(1, 3, 1, 1) * 255)
        self.parts = nn.ModuleDict()
        readers = [name for layer in self.layers for name in layer["inputs"]]
        self.skipped = set()  # ReLUs that a quantiser alone reads: its clipping does their work
        for layer in self.layers:
            name, kind = layer["name"], layer["kind"]
            if kind == "conv":
                shape = (layer["outChannels"], layer["inChannels"], layer["kernel"], layer["kernel"])
                weight = tensors[f"{name}.weight"].view(shape)
                part = MaskedConv(layer, weight, tensors[f"{name}.scores"], plan["mask"])
            elif kind == "batchNorm":
                part = nn.BatchNorm2d(layer["channels"], eps=1e-5, momentum=0.1)
                part.load_state_dict(
                    {key: tensors[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")},
                    strict=False,
                )
            elif kind == "linear":
                part = nn.Linear(layer["inFeatures"], layer["outFeatures"])
                part.load_state_dict({key: tensors[f"{name}.{key}"] for key in ("weight", "bias")})
            else:
                if kind == "quantize" and self.quantized and readers.count(layer["inputs"][0]) == 1:
                    self.skipped.add(layer["inputs"][0])
                continue
            self.parts[name.replace(".", "/")] = part

    def part(self, name):
        return self.parts[name.replace(".", "/")]

    def fold(self):
        for name, part in list(self.parts.items()):
            if isinstance(part, MaskedConv):
                self.parts[name] = FoldedConv(part)
        return self.eval()

    def forward(self, pixels):
        """pixels: uint8 [batch, height, width, 3]; its permutation is a channels-last view."""
        values = {"input": (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation}
        last_use = {name: layer["name"] for layer in self.layers for name in layer["inputs"]}
        for layer in self.layers:
            name, kind = layer["name"], layer["kind"]
            inputs = [values[source] for source in layer["inputs"]]
            if kind in ("conv", "batchNorm", "linear"):
                value = self.part(name)(inputs[0])
            elif kind == "relu":
                value = inputs[0] if name in self.skipped else F.relu(inputs[0])
            elif kind == "quantize":
                value = inputs[0]
                if self.quantized:
                    value = QuantizedActivation.apply(value, self.clips[name], self.levels)
            elif kind == "maxPool":
                value = F.max_pool2d(inputs[0], layer["kernel"], layer["stride"], layer["padding"])
            elif kind == "add":
                value = inputs[0] + inputs[1]
            elif kind == "globalAveragePool":
                value = inputs[0].mean((2, 3))
            else:
                raise ValueError(f"layer {name}: unknown kind {kind}")
            values[name] = value
            for source in layer["inputs"]:  # what nothing reads any more must not hold memory
                if last_use[source] == name:
                    values.pop(source, None)
        return values[self.layers[-1]["name"]]
