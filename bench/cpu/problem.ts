/** @file The measured step: ResNet-50, XBM masks per 72-row column on random 4-bit weights, a third of the bits off. */
import { maskShape } from '../../src/adaption/geometry.js';
import { initialTaskState, type TaskState } from '../../src/adaption/parameters.js';
import type { Batch } from '../../src/data/batch.js';
import type { TrainingPlan } from '../../src/engines/engine.js';
import { dequantize } from '../../src/model/backbone.js';
import { layersOfKind } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';
import { tensor, writeSafetensors } from '../../src/model/safetensors.js';
import { hash32 } from '../../src/random.js';
import { learningRates, randomPlan, tinyBatch, tinyMethod } from '../../test/engines/fixtures.js';

export interface Configuration {
  readonly imageSize: number;
  readonly batchSize: number;
  /** 32: no quantisers, for a comparison of losses that no flipped level disturbs. */
  readonly activationBits: 4 | 32;
}

export interface Problem {
  readonly plan: TrainingPlan;
  readonly state: TaskState;
  readonly batch: Batch;
}

const CLASSES = 102;
const ROWS = 72;

/** A function of the configuration alone: every process builds the same one. */
export function buildProblem({ imageSize, batchSize, activationBits }: Configuration): Problem {
  const method = tinyMethod('xbm', { rows: ROWS });
  const network = buildNetwork('resnet50', CLASSES);
  const plan = randomPlan(network, CLASSES, { method, batchSize, imageSize, activationBits });
  const state = initialTaskState(plan.graph, plan.backbone, method, plan.optimizer, 0);
  for (const [name, values] of Object.entries(state.tensors)) {
    if (name.endsWith('.scores')) state.tensors[name] = values.map((_, i) => (hash32(i) % 3 ? 0.01 : 0));
  }
  return { plan, state, batch: tinyBatch({ imageSize, batchSize }) };
}

/** Everything the PyTorch peer needs, as one safetensors file with the plan in its metadata. */
export async function writeProblem(path: string, { plan, state, batch }: Problem): Promise<void> {
  const { graph, backbone, method, batchSize, imageSize } = plan;
  const tensors: Record<string, ReturnType<typeof tensor>> = {
    pixels: tensor('U8', [batchSize, imageSize, imageSize, 3], batch.pixels),
    labels: tensor('I32', [batchSize], batch.labels),
  };
  for (const [name, values] of Object.entries(state.tensors))
    tensors[name] = tensor('F32', [values.length], values);
  for (const conv of layersOfKind(graph, 'conv')) {
    const weights = dequantize(backbone.convs[conv.name]);
    tensors[`${conv.name}.weight`] = tensor('F32', [weights.length], weights);
    const scores = state.tensors[`${conv.name}.scores`];
    tensors[`${conv.name}.scores`] = tensor('F32', maskShape(conv, method.mask!), scores);
  }
  const { outFeatures, inFeatures } = layersOfKind(graph, 'linear')[0];
  tensors['fc.weight'] = tensor('F32', [outFeatures, inFeatures], state.tensors['fc.weight']);
  const { clips, activationBits, normalization } = backbone;
  const description = {
    layers: graph.layers,
    mask: method.mask,
    clips,
    activationBits,
    normalization,
    learningRates,
  };
  await writeSafetensors(path, tensors, { plan: JSON.stringify(description) });
}
