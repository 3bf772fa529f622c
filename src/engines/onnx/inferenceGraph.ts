/** @file The inference graph: masked weights folded into constants, frozen batch norm, logits and taps out. */
import { foldedWeights } from '../../adaption/fold.js';
import { BATCH_NORM_EPSILON, headOf } from '../../model/graph.js';
import type { InferencePlan } from '../engine.js';
import { Layouts } from './activations.js';
import { emitForward } from './forward.js';
import { GraphBuilder } from './graphBuilder.js';

/** ONNX bytes of a model `pixels` → `logits` [batch, classes] and one output `tap:<layer>` per tap. */
export function buildInferenceModel(plan: InferencePlan): Uint8Array {
  const { network, batchSize, imageSize } = plan;
  const { graph, tensors } = network;
  const builder = new GraphBuilder();
  const weights = foldedWeights(network);
  const head = headOf(graph);
  // Constant weights let ONNX Runtime use its own blocked layout, which beats ours.
  const layouts = new Layouts(builder, graph, batchSize, imageSize, 0);
  const vector = (name: string) => builder.constant(tensors[name], [tensors[name].length]);
  const { activations } = emitForward({
    builder,
    graph,
    layouts,
    imageSize,
    normalization: network.normalization,
    clips: network.clips,
    activationBits: network.activationBits,
    weight: (conv) =>
      builder.constant(weights[conv.name], [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel]),
    batchNorm: ({ name }, input) =>
      builder.op(
        'BatchNormalization',
        [
          input,
          ...['weight', 'bias', 'running_mean', 'running_var'].map((suffix) => vector(`${name}.${suffix}`)),
        ],
        { epsilon: { float: BATCH_NORM_EPSILON } },
      ),
    head: {
      weight: builder.constant(tensors[`${head.name}.weight`], [head.outFeatures, head.inFeatures]),
      bias: vector(`${head.name}.bias`),
    },
  });
  builder.output('logits', 'float32', [batchSize, head.outFeatures], activations.flat(head.name));
  for (const tap of plan.taps ?? []) {
    const layer = graph.layers.find(({ name }) => name === tap);
    if (!layer) throw new Error(`tap ${tap}: ${graph.network} has no such layer`);
    const { channels, height, width } = layouts.shapeOf(tap);
    const flat = layer.kind === 'globalAveragePool' || layer.kind === 'linear';
    const dims = flat ? [batchSize, channels] : [batchSize, channels, height, width];
    builder.output(`tap:${tap}`, 'float32', dims, activations.get(tap, 'nchw'));
  }
  return builder.encode();
}
