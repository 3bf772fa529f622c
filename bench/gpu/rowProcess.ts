/** @file The measured process of bench:webgpu; answers like bench/peer/peer.py, and to `report` with a {@link RowReport}. */
import { createInterface } from 'node:readline';
import { WebGpuInferenceSession } from '../../src/engines/webgpu/inferenceSession.js';
import { WebGpuTrainingSession } from '../../src/engines/webgpu/trainingSession.js';
import { folded, learningRates, tinyBatch } from '../../test/engines/fixtures.js';
import { openBenchmarkGpu, type Row, type RowReport, rowProblem } from './row.js';

const row: Row = JSON.parse(process.argv[2]);
const { gpu } = await openBenchmarkGpu(row.precision, { software: true }); // bench:webgpu has asked
const { plan, state } = rowProblem(row);
const batch = tinyBatch(row);

const answer = (message: object) => console.log(JSON.stringify(message));
const { session, submit } = row.method === 'evaluation' ? await evaluation() : await training();
answer({ logits: [] });
await submit();
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'report') {
    const uses = gpu.canTime ? await session.profile() : null;
    answer({ bytes: session.bytes, uses } satisfies RowReport);
    continue;
  }
  answer({ milliseconds: await pipelined(1000 * Number(line)), peakMegabytes: session.bytes / 1e6 });
}
await session.close();

/** Times between the ends of steps, while the next one is always submitted. */
async function pipelined(duration: number): Promise<number[]> {
  const milliseconds: number[] = [];
  let waiting = submit();
  await waiting;
  waiting = submit();
  const end = performance.now() + duration;
  for (let last = performance.now(); last < end || milliseconds.length < 3; ) {
    const next = submit();
    await waiting;
    const now = performance.now();
    milliseconds.push(now - last);
    [waiting, last] = [next, now];
  }
  await waiting;
  return milliseconds;
}

async function training() {
  const session = await WebGpuTrainingSession.open(gpu, plan, state);
  let step = 0;
  const submit = async () => {
    const { metrics } = await session.trainStep(batch, { step: step++, learningRates });
    return metrics;
  };
  return { session, submit };
}

async function evaluation() {
  const network = folded(plan, state);
  const { batchSize, imageSize } = plan;
  const session = await WebGpuInferenceSession.open(gpu, { network, batchSize, imageSize });
  return { session, submit: () => session.predict(batch) };
}
