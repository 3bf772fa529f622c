/**
 * @file From a layer graph to what a compiled engine runs: convolutions, pools and the head each by a kernel of their
 * own, and between them groups of element-wise layers, each group fused into one kernel.
 */
import type {
  AddLayer,
  BatchNormLayer,
  ConvLayer,
  GlobalAveragePoolLayer,
  Layer,
  LayerGraph,
  LinearLayer,
  MaxPoolLayer,
  QuantizeLayer,
  ReluLayer,
} from '../../model/graph.js';

export type PointwiseLayer = BatchNormLayer | ReluLayer | QuantizeLayer | AddLayer;

/** Element-wise layers computed together; only what other nodes read is written to memory. */
export interface PointwiseGroup {
  readonly kind: 'group';
  readonly members: readonly PointwiseLayer[];
  /** Layers outside the group that it reads. */
  readonly inputs: readonly string[];
  /** Members that are read outside the group. */
  readonly outputs: readonly string[];
}

export type Node = ConvLayer | MaxPoolLayer | GlobalAveragePoolLayer | LinearLayer | PointwiseGroup;

export interface FusedGraph {
  /** In an order in which every node's inputs come before it. */
  readonly nodes: readonly Node[];
  /** Quantisers that change nothing (full precision), by name: the layer to read in their place. */
  readonly aliases: ReadonlyMap<string, string>;
}

/**
 * @param taps layers whose outputs are wanted besides the head's
 */
export function fuseGraph(
  graph: LayerGraph,
  activationBits: number,
  taps: readonly string[] = [],
): FusedGraph {
  const { layers, aliases } = withoutIdentities(graph, activationBits);
  const groups = groupLayers(layers);
  const wanted = new Set(taps.map((name) => aliases.get(name) ?? name));
  const nodes: Node[] = [];
  layers.forEach((layer) => {
    if (!isPointwise(layer)) {
      nodes.push(layer);
      return;
    }
    const members = groups.get(layer.name)!;
    if (members[members.length - 1] === layer) nodes.push(toGroup(members, layers, wanted));
  });
  return { nodes, aliases };
}

function withoutIdentities(graph: LayerGraph, activationBits: number) {
  const aliases = new Map<string, string>();
  const layers: Layer[] = [];
  for (const layer of graph.layers) {
    const inputs = layer.inputs.map((name) => aliases.get(name) ?? name);
    if (layer.kind === 'quantize' && activationBits === 32) aliases.set(layer.name, inputs[0]);
    else layers.push({ ...layer, inputs });
  }
  return { layers, aliases };
}

function isPointwise(layer: Layer): layer is PointwiseLayer {
  return ['batchNorm', 'relu', 'quantize', 'add'].includes(layer.kind);
}

/**
 * The group of each element-wise layer. A layer joins the groups of its inputs, except batch norm, which needs its whole
 * input in memory for the statistics, and except groups that already feed a convolution or pool: what comes after that
 * may depend on it.
 */
function groupLayers(layers: readonly Layer[]): Map<string, PointwiseLayer[]> {
  const groups = new Map<string, PointwiseLayer[]>();
  const readElsewhere = new Set(
    layers
      .filter((layer) => !isPointwise(layer) || layer.kind === 'batchNorm')
      .flatMap(({ inputs }) => inputs),
  );
  for (const layer of layers) {
    if (!isPointwise(layer)) continue;
    const joined = new Set<PointwiseLayer[]>();
    if (layer.kind !== 'batchNorm') {
      for (const input of layer.inputs) {
        const group = groups.get(input);
        if (group && !group.some(({ name }) => readElsewhere.has(name))) joined.add(group);
      }
    }
    const members = [...[...joined].flat(), layer];
    for (const { name } of members) groups.set(name, members);
  }
  return groups;
}

function toGroup(
  members: readonly PointwiseLayer[],
  layers: readonly Layer[],
  wanted: ReadonlySet<string>,
): PointwiseGroup {
  const names = new Set(members.map(({ name }) => name));
  const inputs = members.flatMap((member) => member.inputs.filter((name) => !names.has(name)));
  const isRead = (name: string) =>
    wanted.has(name) || layers.some((layer) => !names.has(layer.name) && layer.inputs.includes(name));
  const outputs = members.map(({ name }) => name).filter(isRead);
  return { kind: 'group', members, inputs: [...new Set(inputs)], outputs };
}

/** The layers a node computes. */
export function layersOfNode(node: Node): readonly Layer[] {
  return node.kind === 'group' ? node.members : [node];
}

/** Whether a convolution reads activation levels. */
export function readsLevels(fused: FusedGraph, { inputs }: ConvLayer): boolean {
  return fused.nodes
    .flatMap(layersOfNode)
    .some(({ name, kind }) => name === inputs[0] && kind === 'quantize');
}

/** Whether nothing but one batch norm reads a layer's output. */
export function feedsBatchNormOnly(fused: FusedGraph, { name }: ConvLayer): boolean {
  const readers = fused.nodes.flatMap(layersOfNode).filter(({ inputs }) => inputs.includes(name));
  return readers.length === 1 && readers[0].kind === 'batchNorm';
}

/**
 * The group that a convolution's batch norm begins, where nothing else that it reads is computed after the convolution:
 * the group can be computed with the convolution's product then. Null where there is none.
 */
export function groupAfter(fused: FusedGraph, layer: ConvLayer): PointwiseGroup | null {
  if (!feedsBatchNormOnly(fused, layer)) return null;
  const group = fused.nodes.find((node) => node.kind === 'group' && node.inputs.includes(layer.name));
  if (group?.kind !== 'group') return null;
  const indexOf = (name: string) =>
    fused.nodes.findIndex((node) => layersOfNode(node).some((candidate) => candidate.name === name));
  return group.inputs.every((name) => indexOf(name) <= indexOf(layer.name)) ? group : null;
}

/** Layers whose output depends on something trained in or before them: only these need a gradient. */
export function layersNeedingGradient(
  fused: FusedGraph,
  training: { trainsWeights(layer: ConvLayer | LinearLayer): boolean; readonly trainsBatchNorm: boolean },
): Set<string> {
  const needed = new Set<string>();
  for (const layer of fused.nodes.flatMap(layersOfNode)) {
    const trained =
      ((layer.kind === 'conv' || layer.kind === 'linear') && training.trainsWeights(layer)) ||
      (layer.kind === 'batchNorm' && training.trainsBatchNorm);
    if (trained || layer.inputs.some((name) => needed.has(name))) needed.add(layer.name);
  }
  return needed;
}
