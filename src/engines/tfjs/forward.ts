import type * as tf from '@tensorflow/tfjs';
import { relu } from '@tensorflow/tfjs';
import type { ConvLayer, LayerGraph } from '../../model/graph.js';
import {
  type BatchStatistics,
  batchNorm,
  batchStatistics,
  convolve,
  globalAveragePool,
  linear,
  maxPool,
} from './layers.js';
import { quantizeActivation } from './straightThrough.js';

/** What a forward pass reads. */
export interface NetworkValues {
  readonly graph: LayerGraph;
  /** The weights a convolution computes with, [outC, inC, k, k]. */
  weight(conv: ConvLayer): tf.Tensor4D;
  /** Batch norm and head tensors by name. */
  tensor(name: string): tf.Tensor;
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  /** Batch norm normalises by the batch's statistics, else by the running ones. */
  readonly useBatchStatistics: boolean;
}

export interface ForwardPass {
  /** By layer name and `input`: [batch, height, width, channels], after the pool [batch, features]. */
  readonly outputs: ReadonlyMap<string, tf.Tensor>;
  /** By batch norm layer; empty unless batch statistics are used. */
  readonly statistics: ReadonlyMap<string, BatchStatistics>;
  /** [batch, classes] */
  readonly logits: tf.Tensor2D;
}

/** Computes every layer of the network in graph order. */
export function forward(network: NetworkValues, input: tf.Tensor4D): ForwardPass {
  const outputs = new Map<string, tf.Tensor>([['input', input]]);
  const statistics = new Map<string, BatchStatistics>();
  let last: tf.Tensor = input;
  for (const layer of network.graph.layers) {
    const x = outputs.get(layer.inputs[0]) as tf.Tensor4D;
    const tensor = (suffix: string) => network.tensor(`${layer.name}.${suffix}`);
    switch (layer.kind) {
      case 'conv':
        last = convolve(x, network.weight(layer), layer);
        break;
      case 'batchNorm': {
        let [mean, variance] = [tensor('running_mean'), tensor('running_var')];
        if (network.useBatchStatistics) {
          const batch = batchStatistics(x);
          statistics.set(layer.name, batch);
          [mean, variance] = [batch.mean, batch.variance];
        }
        last = batchNorm(x, mean, variance, tensor('weight'), tensor('bias'));
        break;
      }
      case 'relu':
        last = relu(x);
        break;
      case 'quantize': {
        const clip = network.clips[layer.name];
        const exact = network.activationBits === 32 || clip === undefined;
        last = exact ? x : quantizeActivation(x, clip, network.activationBits);
        break;
      }
      case 'maxPool':
        last = maxPool(x, layer);
        break;
      case 'add':
        last = x.add(outputs.get(layer.inputs[1])!);
        break;
      case 'globalAveragePool':
        last = globalAveragePool(x);
        break;
      case 'linear':
        last = linear(
          x as tf.Tensor as tf.Tensor2D,
          tensor('weight') as tf.Tensor2D,
          tensor('bias') as tf.Tensor1D,
        );
        break;
    }
    outputs.set(layer.name, last);
  }
  return { outputs, statistics, logits: last as tf.Tensor2D };
}
