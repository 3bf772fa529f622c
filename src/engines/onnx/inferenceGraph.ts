/** @file The inference graph: masked weights folded into constants, frozen batch norm, logits and taps out. */
import { foldedWeights } from '../../adaption/fold.js';
import { headOf, layerShapes } from '../../model/graph.js';
import type { InferencePlan } from '../engine.js';
import { emitForward, emitFrozenBatchNorm } from './forward.js';
import { GraphBuilder } from './graphBuilder.js';

/** ONNX bytes of a model `pixels` → `logits` [batch, classes] and one output `tap:<layer>` per tap. */
export function buildInferenceModel(plan: InferencePlan): Uint8Array {
  const { network, batchSize, imageSize } = plan;
  const { graph, tensors } = network;
  const builder = new GraphBuilder();
  const weights = foldedWeights(network);
  const head = headOf(graph);
  const vector = (name: string) => builder.constant(tensors[name], [tensors[name].length]);
  const values = emitForward({
    builder,
    graph,
    batchSize,
    imageSize,
    normalization: network.normalization,
    clips: network.clips,
    activationBits: network.activationBits,
    weight: (conv) =>
      builder.constant(weights[conv.name], [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel]),
    batchNorm: ({ name }, input) =>
      emitFrozenBatchNorm(builder, input, [
        vector(`${name}.weight`),
        vector(`${name}.bias`),
        vector(`${name}.running_mean`),
        vector(`${name}.running_var`),
      ]),
    head: {
      weight: builder.constant(tensors[`${head.name}.weight`], [head.outFeatures, head.inFeatures]),
      bias: vector(`${head.name}.bias`),
    },
  });
  builder.output('logits', 'float32', [batchSize, head.outFeatures], values.get(head.name)!);
  const shapes = layerShapes(graph, imageSize);
  for (const tap of plan.taps ?? []) {
    const shape = shapes.get(tap);
    if (!shape) throw new Error(`tap ${tap}: ${graph.network} has no such layer`);
    const { channels, height, width } = shape;
    const dims = tap === 'avgpool' || tap === head.name ? [batchSize, channels] : [batchSize, channels, height, width];
    builder.output(`tap:${tap}`, 'float32', dims, values.get(tap)!);
  }
  return builder.encode();
}
