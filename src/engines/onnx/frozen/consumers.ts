import type { Layer, LayerGraph, LayerKind } from '../../../model/graph.js';

/** The layers that read each layer's output. */
export function consumersOf(graph: LayerGraph): ReadonlyMap<string, readonly Layer[]> {
  const consumers = new Map<string, Layer[]>();
  for (const layer of graph.layers) {
    for (const input of layer.inputs) consumers.set(input, [...(consumers.get(input) ?? []), layer]);
  }
  return consumers;
}

/** The only layer that reads `name`, if it is of this kind. */
export function successor<K extends LayerKind>(
  consumers: ReadonlyMap<string, readonly Layer[]>,
  name: string,
  kind: K,
): Extract<Layer, { kind: K }> | undefined {
  const readers = consumers.get(name) ?? [];
  const [only] = readers;
  return readers.length === 1 && only.kind === kind ? (only as Extract<Layer, { kind: K }>) : undefined;
}
