/** @file Reads ONNX Runtime's profile: time, arithmetic and memory traffic of a step by operator. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface OperatorUse {
  readonly operator: string;
  /** Per step. */
  readonly milliseconds: number;
  /** Multiplications and additions of matrix products and convolutions per step, 10⁹. */
  readonly gigaflop: number;
  /** Bytes of all inputs and outputs per step, 10⁹: the least traffic an operator can have. */
  readonly gigabytes: number;
}

type Shapes = readonly Readonly<Record<string, readonly number[]>>[];

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args: { op_name: string; input_type_shape?: Shapes; output_type_shape?: Shapes };
}

/** Sums the profile in `folder` by operator, longest first; the first two steps, which warm up, are left out. */
export function operatorUses(folder: string): OperatorUse[] {
  const file = readdirSync(folder).find((name) => name.endsWith('.json'));
  if (!file) throw new Error(`no profile in ${folder}`);
  const events: ProfileEvent[] = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const kernels = events.filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'));
  const runs = new Map<string, number>();
  const totals = new Map<string, { milliseconds: number; gigaflop: number; gigabytes: number }>();
  for (const { name, dur, args } of kernels) {
    const run = runs.get(name) ?? 0;
    runs.set(name, run + 1);
    if (run < WARM_UP) continue;
    const total = totals.get(args.op_name) ?? { milliseconds: 0, gigaflop: 0, gigabytes: 0 };
    totals.set(args.op_name, total);
    total.milliseconds += dur / 1000;
    total.gigaflop += flop(args) / 1e9;
    total.gigabytes += bytes(args) / 1e9;
  }
  const steps = Math.max(...runs.values()) - WARM_UP;
  return [...totals]
    .map(([operator, { milliseconds, gigaflop, gigabytes }]) => ({
      operator,
      milliseconds: milliseconds / steps,
      gigaflop: gigaflop / steps,
      gigabytes: gigabytes / steps,
    }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

const WARM_UP = 2;

const elementBytes: Readonly<Record<string, number>> = { uint8: 1, int8: 1, bool: 1, int64: 8 };

function bytes({
  input_type_shape: inputs = [],
  output_type_shape: outputs = [],
}: ProfileEvent['args']): number {
  const sizes = [...inputs, ...outputs].flatMap((entry) => Object.entries(entry));
  return sizes.reduce((sum, [type, dims]) => sum + product(dims) * (elementBytes[type] ?? 4), 0);
}

function flop({
  op_name,
  input_type_shape: inputs = [],
  output_type_shape: outputs = [],
}: ProfileEvent['args']): number {
  const dims = (shapes: Shapes, index: number) => Object.values(shapes[index])[0];
  const out = () => product(dims(outputs, 0));
  switch (op_name) {
    case 'Conv':
    case 'FusedConv':
      return 2 * out() * product(dims(inputs, 1).slice(1));
    case 'ConvTranspose':
      return 2 * product(dims(inputs, 0)) * product(dims(inputs, 1).slice(1));
    case 'MatMul':
    case 'FusedMatMul':
    case 'Gemm': {
      const [a, c] = [dims(inputs, 0), dims(outputs, 0)];
      const batch = product(c.slice(0, -2));
      const matrix = (shape: readonly number[]) => product(shape.slice(-2));
      // A constant that was packed beforehand has no shape here.
      if (inputs.length === 1) return 2 * batch * matrix(a) * c[c.length - 1];
      const b = dims(inputs, 1);
      // m·k · k·n · m·n = (m·n·k)²
      return 2 * batch * Math.round(Math.sqrt(matrix(a) * matrix(b) * matrix(c)));
    }
    default:
      return 0;
  }
}

const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
