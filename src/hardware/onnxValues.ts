/** @file Small integer tensors of an ONNX graph, followed as values: exporters compute shapes from shapes with them. */
import type { onnx as Onnx } from 'onnx-proto';

const INT32 = 6;
const INT64 = 7;
const MAX_VALUES = 64;

/** The values of a small integer tensor: shapes, axes, pads; undefined for anything else. */
export function smallIntegers(tensor: Onnx.ITensorProto): number[] | undefined {
  const count = (tensor.dims ?? []).map(Number).reduce((a, b) => a * b, 1);
  if ((tensor.dataType !== INT64 && tensor.dataType !== INT32) || count > MAX_VALUES) return undefined;
  if (tensor.int64Data?.length) return tensor.int64Data.map(Number);
  if (tensor.int32Data?.length) return tensor.int32Data.map(Number);
  const width = tensor.dataType === INT64 ? 8 : 4;
  const raw = tensor.rawData;
  if (raw?.byteLength !== count * width) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: count }, (_, i) =>
    width === 8 ? Number(view.getBigInt64(i * 8, true)) : view.getInt32(i * 4, true),
  );
}

/**
 * The integers that a node computes, where they follow from a known shape or from known integers.
 * @param dimsOf the shape of an input
 * @param valuesOf the integers of an input
 */
export function inferValues(
  node: Onnx.INodeProto,
  dimsOf: (name: string) => readonly number[] | undefined,
  valuesOf: (name: string) => readonly number[] | undefined,
): readonly number[] | undefined {
  const inputs = node.input ?? [];
  const attribute = (name: string) => node.attribute?.find((found) => found.name === name);
  if (node.opType === 'Constant') {
    const tensor = attribute('value')?.t;
    return tensor ? smallIntegers(tensor) : attribute('value_ints')?.ints?.map(Number);
  }
  if (node.opType === 'Shape') return dimsOf(inputs[0] ?? '');
  const all = inputs.map(valuesOf);
  const [a, b] = all;
  if (!a) return undefined;
  switch (node.opType) {
    case 'Cast':
    case 'Identity':
    case 'Squeeze':
    case 'Unsqueeze':
      return a;
    case 'Concat':
      return all.some((values) => values === undefined) ? undefined : all.flatMap((values) => [...values!]);
    case 'Gather':
      return b?.map((index) => a[index < 0 ? index + a.length : index]);
    case 'Slice': {
      const part = (i: number, name: string) => (all[i] ?? attribute(name)?.ints?.map(Number))?.[0];
      const [start, end, step] = [part(1, 'starts'), part(2, 'ends'), all[4]?.[0] ?? 1];
      return start === undefined || end === undefined || step !== 1 ? undefined : a.slice(start, end);
    }
    case 'Add':
      return zip(a, b, (x, y) => x + y);
    case 'Sub':
      return zip(a, b, (x, y) => x - y);
    case 'Mul':
      return zip(a, b, (x, y) => x * y);
    case 'Div':
      return zip(a, b, (x, y) => Math.trunc(x / y));
    default:
      return undefined;
  }
}

function zip(
  a: readonly number[],
  b: readonly number[] | undefined,
  combine: (x: number, y: number) => number,
): number[] | undefined {
  if (!b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  const at = (values: readonly number[], i: number) => values[values.length === 1 ? 0 : i];
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => combine(at(a, i), at(b, i)));
}
