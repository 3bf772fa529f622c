import * as tf from '@tensorflow/tfjs';
import type { Batch } from '../../data/batch.js';
import { type LayerGraph, layersOfKind } from '../../model/graph.js';
import { checkPixels } from '../checkBatch.js';
import type { InferencePlan, InferenceSession, Prediction } from '../engine.js';
import { forward } from './forward.js';
import { disposeConv, type FrozenConv, freezeConv } from './frozenConv.js';
import { normalize } from './layers.js';

/** Computes a folded network: plain weights, running statistics, no noise. */
export class TfjsInferenceSession implements InferenceSession {
  readonly #plan: InferencePlan;
  readonly #convs: ReadonlyMap<string, FrozenConv>;
  readonly #tensors: ReadonlyMap<string, tf.Tensor>;

  constructor(plan: InferencePlan) {
    const { graph, convs } = plan.network;
    checkTaps(graph, plan.taps ?? []);
    this.#plan = plan;
    this.#convs = new Map(
      layersOfKind(graph, 'conv').map((conv) => [conv.name, freezeConv(conv, convs[conv.name])]),
    );
    this.#tensors = uploadTensors(plan);
  }

  async predict(batch: Batch): Promise<Prediction> {
    const { network, imageSize, taps = [] } = this.#plan;
    checkPixels(batch, this.#plan);
    const [logits, ...tapped] = tf.tidy(() => {
      const pass = forward(
        {
          graph: network.graph,
          weight: (conv) => this.#convs.get(conv.name)!.weight,
          tensor: (name) => this.#tensors.get(name)!,
          clips: network.clips,
          activationBits: network.activationBits,
          useBatchStatistics: false,
        },
        normalize(batch.pixels, imageSize, network.normalization),
      );
      return [pass.logits, ...taps.map((name) => channelsFirst(pass.outputs.get(name)!))];
    });
    const values = await Promise.all(tapped.map((tensor) => tensor.data<'float32'>()));
    const prediction = {
      logits: (await logits.data<'float32'>()).slice(),
      taps: Object.fromEntries(taps.map((name, i) => [name, values[i].slice()])),
    };
    tf.dispose([logits, ...tapped]);
    return prediction;
  }

  async close(): Promise<void> {
    for (const conv of this.#convs.values()) disposeConv(conv);
    for (const tensor of this.#tensors.values()) tensor.dispose();
  }
}

/** Always a new tensor, so that it can be freed on its own. */
function channelsFirst(x: tf.Tensor): tf.Tensor {
  return x.rank === 4 ? x.transpose([0, 3, 1, 2]) : x.clone();
}

function checkTaps(graph: LayerGraph, taps: readonly string[]): void {
  const known = new Set(graph.layers.map(({ name }) => name));
  const unknown = taps.find((name) => !known.has(name));
  if (unknown !== undefined) throw new Error(`${graph.network} has no layer "${unknown}" to tap`);
}

/** Batch norm and head tensors, checked against the graph. */
function uploadTensors({ network }: InferencePlan): Map<string, tf.Tensor> {
  const uploaded = new Map<string, tf.Tensor>();
  const add = (name: string, shape: number[]) =>
    uploaded.set(name, tf.tensor(network.tensors[name].slice(), shape, 'float32'));
  for (const layer of network.graph.layers) {
    if (layer.kind === 'batchNorm') {
      for (const suffix of ['weight', 'bias', 'running_mean', 'running_var'])
        add(`${layer.name}.${suffix}`, [layer.channels]);
    } else if (layer.kind === 'linear') {
      add(`${layer.name}.weight`, [layer.outFeatures, layer.inFeatures]);
      add(`${layer.name}.bias`, [layer.outFeatures]);
    }
  }
  return uploaded;
}
