/** @file What a step computes and moves, counted from its plan: nothing is run, and no GPU is needed. */
import { emitInference } from '../../src/engines/webgpu/inferenceSession.js';
import { type DispatchCount, type GpuFacts, PlanBuilder } from '../../src/engines/webgpu/planBuilder.js';
import { emitTraining } from '../../src/engines/webgpu/trainingPlan.js';
import { folded } from '../../test/engines/fixtures.js';
import { type Row, rowProblem } from './row.js';

/** A large GPU as Vulkan describes it: NVIDIA's shapes and workgroup memory. */
const facts = (precision: Row['precision']): GpuFacts => ({
  precision,
  units:
    precision === 'float32'
      ? null
      : {
          rows: 16,
          columns: 16,
          depth: 16,
          subgroupSize: 32,
          integers: { rows: 16, columns: 16, depth: 32 },
        },
  limits: {
    maxComputeWorkgroupStorageSize: 49_152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
  } as GPUSupportedLimits,
});

export function countRow(row: Row): { counts: DispatchCount[]; bytesOfBuffers: number } {
  const { plan, state } = rowProblem(row);
  const builder = new PlanBuilder(facts(row.precision));
  if (row.method !== 'evaluation') emitTraining(builder, plan, state.tensors);
  else {
    const { batchSize, imageSize } = plan;
    emitInference(builder, { network: folded(plan, state), batchSize, imageSize });
  }
  const counts = builder.counts().sort((a, b) => b.bytes - a.bytes);
  return { counts, bytesOfBuffers: builder.memory().total };
}

/** @param rate of products and memory, for the time that a step takes at best; null: not said */
export function printCounts(
  row: Row,
  rate: { readonly flops: number; readonly bytesPerSecond: number } | null,
): void {
  const { counts, bytesOfBuffers } = countRow(row);
  const { network, imageSize, batchSize, method, precision } = row;
  const seconds = (count: DispatchCount) => (rate ? count.seconds(rate) : 0);
  const line = (label: string, sums: readonly DispatchCount[]) => {
    const total = (value: (count: DispatchCount) => number) => sums.reduce((sum, c) => sum + value(c), 0);
    const cells = [
      String(total(({ dispatches }) => dispatches)),
      (total(({ bytes }) => bytes) / batchSize / 1e6).toFixed(1),
      (total(({ flop }) => flop) / batchSize / 1e9).toFixed(2),
      ...(rate ? [((1e6 * total(seconds)) / batchSize).toFixed(1)] : []),
    ];
    console.log(`  ${label.padEnd(26)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  };
  console.log(`\n${network}, ${imageSize} px, batch ${batchSize}, ${method}, ${precision}; per image:`);
  console.log(
    `  kernel                      dispatches          MB       GFLOP${rate ? '          µs' : ''}`,
  );
  for (const count of counts) line(count.label, [count]);
  line('all', counts);
  console.log(`  ${(bytesOfBuffers / 1e9).toPrecision(3)} GB on the GPU`);
  if (rate) {
    const total = counts.reduce((sum, count) => sum + seconds(count), 0);
    console.log(`  at best ${(batchSize / total).toPrecision(3)} images/s at these rates`);
  }
}
