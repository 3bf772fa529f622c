/**
 * @file What the backward pass knows from the forward pass alone: where gradients pass ReLUs, quantisers and max pools.
 * Emitted before the gradients, since ONNX Runtime computes an operator's inputs in the reverse order of their emission:
 * emitted after them, all gates would be made floats before the first is used.
 */
import type { Layer, LayerGraph, MaxPoolLayer, QuantizeLayer, ReluLayer } from '../../model/graph.js';
import { clipOf } from './common.js';
import type { ForwardContext, ForwardValues } from './forward.js';
import { PoolWinners } from './maxPool.js';

/** One layer's way back. */
export interface Gate {
  /** The layer whose output gets the gradient. */
  readonly target: string;
  /** One where the gradient passes and zero elsewhere, in the layout of the gated layer; null: everywhere. */
  readonly open: string | null;
  /** Of a max pool. */
  readonly winners: PoolWinners | null;
}

/**
 * A ReLU that only a quantiser or a max pool reads is gated there: in one pass, on fewer pixels.
 * @param needed layers whose output needs a gradient
 * @returns gates by the name of the ReLU, quantiser or max pool; of those that a gradient passes
 */
export function emitGates(
  context: ForwardContext & ForwardValues,
  needed: ReadonlySet<string>,
): Map<string, Gate> {
  const { builder, graph, layouts, activations } = context;
  const gates = new Map<string, Gate>();
  for (const layer of graph.layers) {
    if (!isGated(layer)) continue;
    const relu = reluBefore(graph, layer);
    const [target] = (relu ?? layer).inputs;
    const gatedBehind = readersOf(graph, layer.name).some((reader) => reluBefore(graph, reader) === layer);
    if (gatedBehind || !needed.has(target)) continue;
    const open = openings(layer, relu !== undefined);
    gates.set(layer.name, {
      target,
      open: open.length > 0 ? asFloat(open.reduce((a, b) => builder.op('And', [a, b]))) : null,
      winners: layer.kind === 'maxPool' ? poolWinners(layer) : null,
    });
  }
  return gates;

  /** Booleans that all have to be true. A quantiser is straight through where 0 ≤ x ≤ clip. */
  function openings(layer: GatedLayer, afterRelu: boolean): string[] {
    const layout = layouts.layoutOf(layer.name);
    // The maximum of a window is positive where the input that it was is.
    const value = activations.get(layer.kind === 'quantize' ? layer.inputs[0] : layer.name, layout);
    const open: string[] = [];
    if (afterRelu || layer.kind === 'relu') open.push(builder.op('Greater', [value, builder.scalar(0)]));
    if (layer.kind === 'quantize' && context.activationBits < 32) {
      const clip = builder.scalar(Math.fround(clipOf(context.clips, layer.name)));
      open.push(builder.op('LessOrEqual', [value, clip]));
    }
    return open;
  }

  /** Multiplied with the gradient: Cast and Mul run on all threads, ONNX Runtime's Where does not. */
  function asFloat(open: string): string {
    return builder.op('Cast', [open], { to: 1 });
  }

  function poolWinners(layer: MaxPoolLayer): PoolWinners {
    const [source] = layer.inputs;
    const site = {
      window: layer,
      builder,
      batchSize: layouts.batchSize,
      input: layouts.shapeOf(source),
      output: layouts.shapeOf(layer.name),
    };
    return new PoolWinners(site, activations.get(source, 'nchw'), activations.get(layer.name, 'nchw'));
  }
}

type GatedLayer = ReluLayer | QuantizeLayer | MaxPoolLayer;

const isGated = (layer: Layer): layer is GatedLayer =>
  layer.kind === 'relu' || layer.kind === 'quantize' || layer.kind === 'maxPool';

const readersOf = (graph: LayerGraph, name: string): Layer[] =>
  graph.layers.filter(({ inputs }) => inputs.includes(name));

/** The ReLU that this quantiser or max pool alone reads. */
function reluBefore(graph: LayerGraph, { kind, inputs: [source] }: Layer): ReluLayer | undefined {
  if (kind !== 'quantize' && kind !== 'maxPool') return undefined;
  const relu = graph.layers.find(({ name }) => name === source);
  return relu?.kind === 'relu' && readersOf(graph, source).length === 1 ? relu : undefined;
}
