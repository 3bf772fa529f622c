/** @file The `onnx` engine: a whole training step as one ONNX graph, run by ONNX Runtime in a worker thread. */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import type { Batch } from '../../data/batch.js';
import { checkBatchStatistics, checkPixels, checkTrainingBatch } from '../checkBatch.js';
import type { Engine, EngineEntry, InferenceSession, StepMetrics, TrainingSession } from '../engine.js';
import { StepQueue } from '../stepQueue.js';
import { WorkerClient } from './client.js';
import type { WorkerOptions } from './protocol.js';

export const engineEntry: EngineEntry = {
  name: 'onnx',
  description:
    'ONNX Runtime: the whole training step as one graph; the default on CPU where no kernels are built',
  async probe() {
    try {
      createRequire(import.meta.url).resolve('onnxruntime-node');
    } catch {
      return { available: false, reason: 'the package onnxruntime-node is not installed; run npm ci' };
    }
    return { available: true, device: deviceName({ threads: 0 }) };
  },
  create: async ({ threads }) => createOnnxEngine({ threads }),
};

/** @param options besides threads, what benches and tests set: see {@link WorkerOptions} */
export function createOnnxEngine(options: WorkerOptions): Engine {
  const workerOptions = { ...options, threads: options.threads || availableParallelism() };
  return {
    name: 'onnx',
    inference: 'onnx',
    device: deviceName(workerOptions),
    gradientPrecision: 'float32',
    async openTraining(plan, state): Promise<TrainingSession> {
      checkBatchStatistics(plan);
      const client = await WorkerClient.open({ kind: 'training', plan, state, options: workerOptions });
      const queue = new StepQueue();
      return {
        async trainStep(batch, at) {
          checkTrainingBatch(batch, plan);
          await queue.room();
          const metrics: Promise<StepMetrics> = client.call('trainStep', { batch, at });
          queue.add(metrics);
          return { metrics };
        },
        readState: () => client.call('readState', null),
        close: () => client.close(),
      };
    },
    async openInference(plan): Promise<InferenceSession> {
      const client = await WorkerClient.open({ kind: 'inference', plan, options: workerOptions });
      return {
        async predict(batch: Batch) {
          checkPixels(batch, plan);
          return client.call('predict', batch);
        },
        close: () => client.close(),
      };
    },
  };
}

function deviceName({ threads }: { threads: number }): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json');
  const count = threads || availableParallelism();
  return `ONNX Runtime ${version}, CPU, ${count} thread${count === 1 ? '' : 's'}`;
}
