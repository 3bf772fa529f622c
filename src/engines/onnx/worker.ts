/** @file The worker thread of one session: ONNX Runtime's `run` blocks the thread that calls it. */
import { parentPort, workerData } from 'node:worker_threads';
import { InferenceRunner } from './inferenceRunner.js';
import type { WorkerInput, WorkerRequest, WorkerResponse } from './protocol.js';
import { TrainingRunner } from './trainingRunner.js';

const port = parentPort!;
const input: WorkerInput = workerData;
const runner =
  input.kind === 'training'
    ? TrainingRunner.open(input.plan, input.state, input.options)
    : InferenceRunner.open(input.plan, input.options);
// Its rejection is reported by the request that awaits it.
runner.catch(() => {});

let queue: Promise<void> = Promise.resolve();
port.on('message', (request: WorkerRequest) => {
  queue = queue.then(async () => {
    try {
      const result = await answer(request);
      port.postMessage({ id: request.id, result } satisfies WorkerResponse);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      port.postMessage({ id: request.id, error: text } satisfies WorkerResponse);
    }
    if (request.call === 'close') port.close();
  });
});

async function answer(request: WorkerRequest) {
  const opened = await runner;
  switch (request.call) {
    case 'ready':
      return null;
    case 'close':
      await opened.release();
      return null;
    default:
      return opened.handle(request);
  }
}
