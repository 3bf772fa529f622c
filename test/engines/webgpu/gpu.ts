/** @file The GPU of this machine for tests of kernels, or why there is none. */
import {
  type AdapterFacts,
  adapterFacts,
  Gpu,
  type Precision,
  requestAdapter,
} from '../../../src/engines/webgpu/device.js';

export interface TestGpu {
  /** What `node:test` takes: false, or the reason for skipping. */
  readonly skip: false | string;
  open(precision?: Precision): Promise<Gpu>;
  readonly facts: AdapterFacts | null;
}

export async function testGpu(): Promise<TestGpu> {
  const adapter = await requestAdapter();
  return {
    skip: adapter
      ? false
      : 'Dawn finds no GPU, not even a software one: `npm run test:webgpu` says how to get one',
    facts: adapter && adapterFacts(adapter),
    // An adapter makes one device only.
    open: async (precision) => Gpu.open((await requestAdapter())!, precision),
  };
}
