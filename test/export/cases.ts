/** @file Tasks on tiny random backbones for tests of the export. */

import type { MethodSpec } from '../../src/adaption/method.js';
import type { TaskState } from '../../src/adaption/parameters.js';
import { foldIntoBackbone, type Task, taskFromState } from '../../src/adaption/task.js';
import type { Batch } from '../../src/data/batch.js';
import { createOnnxEngine } from '../../src/engines/onnx/index.js';
import type { Backbone } from '../../src/model/backbone.js';
import { headOf, withClasses } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import {
  type BackboneOptions,
  plainSgd,
  randomBackbone,
  type TinyNetwork,
  tinyImageSize,
  tinyNetwork,
  tinyState,
} from '../engines/fixtures.js';

export interface TinyCase {
  readonly backbone: Backbone;
  readonly imageSize: number;
}

export function tinyBackbone(network: TinyNetwork, options: BackboneOptions = {}): TinyCase {
  const backbone = sealBackbone(randomBackbone(tinyNetwork(network, 10), options));
  return { backbone, imageSize: tinyImageSize[network] };
}

/** A state in mid-training, its batch norm moved away from the backbone's; some gains negative. */
export function tinyTaskState(
  { backbone, imageSize }: TinyCase,
  method: MethodSpec,
  classes: number,
  seed: number,
): TaskState {
  const graph = withClasses(backbone.graph, classes);
  const plan = { graph, backbone, method, optimizer: plainSgd, batchSize: 1, imageSize, seed };
  const state = tinyState(plan, seed);
  if (method.trainBatchNorm) {
    for (const [name, values] of Object.entries(state.tensors)) {
      if (/bn\d\.weight$/.test(name))
        state.tensors[name] = values.map((v, i) => ((i + seed) % 3 === 0 ? -v : v));
    }
  }
  return state;
}

/** The task of {@link tinyTaskState}. */
export function tinyTask(tiny: TinyCase, method: MethodSpec, classes: number, seed: number): Task {
  const { backbone, imageSize } = tiny;
  const names = Array.from({ length: classes }, (_, i) => `class ${i}`);
  const hashes = { backboneSha256: backbone.sha256, configHash: `config ${seed}`, programVersion: '0' };
  const origin = { ...hashes, method, imageSize, classes: names };
  return taskFromState(tinyTaskState(tiny, method, classes, seed), backbone, origin);
}

/** What the engine's float32 graph computes: it is the one that has taps. */
export async function engineLogits(task: Task, backbone: Backbone, batch: Batch): Promise<Float32Array> {
  const engine = createOnnxEngine({ threads: 1 });
  const network = foldIntoBackbone(task, backbone);
  const session = await engine.openInference({
    network,
    batchSize: batch.labels.length,
    imageSize: task.imageSize,
    taps: [headOf(network.graph).name],
  });
  try {
    return (await session.predict(batch)).logits;
  } finally {
    await session.close();
  }
}
