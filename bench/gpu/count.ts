/** @file What a step computes and moves, counted from its plan: nothing is run, and no GPU is needed. */
import { emitInference } from '../../src/engines/webgpu/inferenceSession.js';
import { type DispatchFacts, type GpuFacts, PlanBuilder } from '../../src/engines/webgpu/planBuilder.js';
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

/** What all dispatches of one kind of kernel compute and move. */
export interface DispatchCount extends Omit<DispatchFacts, 'workgroups'> {
  readonly dispatches: number;
  /** Workgroups along the longest dimension of any of them. */
  readonly longestSide: number;
  /** How long they take where every dispatch is bound either by computing or by memory. */
  seconds(rate: Rate): number;
}

interface Rate {
  readonly flops: number;
  readonly bytesPerSecond: number;
}

function countOf(label: string, dispatches: readonly DispatchFacts[]): DispatchCount {
  const total = (value: (facts: DispatchFacts) => number) =>
    dispatches.reduce((sum, facts) => sum + value(facts), 0);
  return {
    label,
    dispatches: dispatches.length,
    longestSide: Math.max(...dispatches.flatMap(({ workgroups }) => workgroups)),
    flop: total(({ flop }) => flop),
    bytes: total(({ bytes }) => bytes),
    seconds: (rate) => total(({ flop, bytes }) => Math.max(flop / rate.flops, bytes / rate.bytesPerSecond)),
  };
}

/** `all`: of every kind of kernel together. */
export function countRow(row: Row): {
  counts: DispatchCount[];
  all: DispatchCount;
  bytesOfBuffers: number;
} {
  const { plan, state } = rowProblem(row);
  const builder = new PlanBuilder(facts(row.precision));
  if (row.method !== 'evaluation') emitTraining(builder, plan, state.tensors);
  else {
    const { batchSize, imageSize } = plan;
    emitInference(builder, { network: folded(plan, state), batchSize, imageSize });
  }
  const dispatched = builder.facts();
  const counts = [...new Set(dispatched.map(({ label }) => label))]
    .map((label) =>
      countOf(
        label,
        dispatched.filter((dispatch) => dispatch.label === label),
      ),
    )
    .sort((a, b) => b.bytes - a.bytes);
  return { counts, all: countOf('all', dispatched), bytesOfBuffers: builder.memory().total };
}

/** @param rate of products and memory, for the time that a step takes at best; null: not said */
export function printCounts(row: Row, rate: Rate | null): void {
  const { counts, all, bytesOfBuffers } = countRow(row);
  const { network, imageSize, batchSize, method, precision } = row;
  const line = ({ label, dispatches, bytes, flop, seconds }: DispatchCount) => {
    const cells = [
      String(dispatches),
      (bytes / batchSize / 1e6).toFixed(1),
      (flop / batchSize / 1e9).toFixed(2),
      ...(rate ? [((1e6 * seconds(rate)) / batchSize).toFixed(1)] : []),
    ];
    console.log(`  ${label.padEnd(26)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  };
  console.log(`\n${network}, ${imageSize} px, batch ${batchSize}, ${method}, ${precision}; per image:`);
  console.log(
    `  kernel                      dispatches          MB       GFLOP${rate ? '          µs' : ''}`,
  );
  for (const count of [...counts, all]) line(count);
  console.log(`  ${(bytesOfBuffers / 1e9).toPrecision(3)} GB on the GPU`);
  if (rate)
    console.log(`  at best ${(batchSize / all.seconds(rate)).toPrecision(3)} images/s at these rates`);
}
