/** @file A compiled plan: all dispatches of a step in order. Running it only encodes and submits. */
import { ExitCode, UserError } from '../../errors.js';
import type { Gpu } from './device.js';
import { encodeScalars, STEP_FIELDS, type StepField, UNIFORM_ALIGNMENT, type Workgroups } from './kernel.js';

/** A tensor on the device. Transient ones live between their first and last dispatch and share buffers. */
export interface Tensor {
  readonly label: string;
  readonly bytes: number;
  readonly transient: boolean;
  /** A dispatch that binds it reads or writes a small part of it. */
  readonly inParts?: boolean;
}

/** What all dispatches of one kind of kernel did in one run. */
export interface KernelUse {
  readonly label: string;
  readonly microseconds: number;
  /** Floating-point operations of products; 0 for other kernels. */
  readonly flop: number;
  /** Of all tensors bound whole, each counted once per dispatch: what has to move at least. */
  readonly bytes: number;
}

/** A dispatch with everything it needs, made once. */
export interface Encoded {
  readonly label: string;
  readonly flop: number;
  readonly bytes: number;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: Workgroups;
}

/**
 * Floating-point operations of one submission. Drivers kill what takes longer than 2 to 10 s; this is 0.2 s of a GPU with
 * 1 TFLOPS, and a large one computes a step of ResNet-50 in some fifteen of them.
 */
const SLICE_FLOP = 2e11;

/** Cuts dispatches, in order, into slices of at most {@link SLICE_FLOP}, or of one dispatch. */
export function sliceByFlop<T extends { readonly flop: number }>(dispatches: readonly T[]): T[][] {
  const slices: T[][] = [];
  let sum = 0;
  for (const dispatch of dispatches) {
    sum += dispatch.flop;
    if (slices.length === 0 || sum > SLICE_FLOP) {
      slices.push([]);
      sum = dispatch.flop;
    }
    slices[slices.length - 1].push(dispatch);
  }
  return slices;
}

/** Runs its dispatches in order; reads and writes its tensors. */
export class Plan {
  readonly #slices: readonly (readonly Encoded[])[];

  constructor(
    private readonly gpu: Gpu,
    private readonly dispatches: readonly Encoded[],
    private readonly cleared: readonly GPUBuffer[],
    private readonly buffers: ReadonlyMap<Tensor, GPUBuffer>,
    private readonly owned: readonly GPUBuffer[],
    private readonly step: GPUBuffer,
    /** Of all buffers together. */
    readonly bytes: number,
  ) {
    this.#slices = sliceByFlop(dispatches);
  }

  /** Queued before whatever is submitted later. */
  write(tensor: Tensor, data: ArrayBufferView<ArrayBuffer>): void {
    writeBuffer(this.gpu, this.#buffer(tensor), data);
  }

  writeStep(values: Readonly<Record<StepField, number>>): void {
    const bytes = new ArrayBuffer(UNIFORM_ALIGNMENT);
    encodeScalars(STEP_FIELDS, values, bytes);
    this.gpu.device.queue.writeBuffer(this.step, 0, bytes);
  }

  /** Submits all dispatches and copies of the tensors to read; the copies resolve when the GPU is done. */
  run(read: readonly Tensor[] = []): Promise<ArrayBuffer[]> {
    const { device } = this.gpu;
    this.gpu.check();
    let encoder = device.createCommandEncoder();
    for (const buffer of this.cleared) encoder.clearBuffer(buffer);
    this.#slices.forEach((slice, i) => {
      if (i > 0) {
        device.queue.submit([encoder.finish()]);
        encoder = device.createCommandEncoder();
      }
      const pass = encoder.beginComputePass();
      for (const { pipeline, bindGroup, workgroups } of slice) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
    });
    return this.#submit(encoder, read);
  }

  /** Contents of tensors after everything submitted so far. */
  read(tensors: readonly Tensor[]): Promise<ArrayBuffer[]> {
    return this.#submit(this.gpu.device.createCommandEncoder(), tensors);
  }

  /**
   * Runs once with a time stamp before and after every dispatch.
   * @returns by kernel label, the longest first
   */
  async profile(): Promise<KernelUse[]> {
    const { device, canTime } = this.gpu;
    if (!canTime) throw new UserError('this GPU has no time stamps', undefined, ExitCode.unavailable);
    const count = 2 * this.dispatches.length;
    const querySet = device.createQuerySet({ type: 'timestamp', count });
    const resolved = device.createBuffer({
      size: 8 * count,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const staging = stagingBuffer(device, 8 * count);
    const encoder = device.createCommandEncoder();
    for (const buffer of this.cleared) encoder.clearBuffer(buffer);
    this.dispatches.forEach(({ pipeline, bindGroup, workgroups }, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
    device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await this.gpu.settle(take(staging)));
    const uses = new Map<string, KernelUse>();
    let end = 0n;
    this.dispatches.forEach(({ label, flop, bytes }, i) => {
      const sum = uses.get(label) ?? { label, microseconds: 0, flop: 0, bytes: 0 };
      // Vulkan may stamp the beginning before the barrier behind the dispatch before is passed.
      const begin = stamps[2 * i] > end ? stamps[2 * i] : end;
      end = stamps[2 * i + 1];
      const nanoseconds = Number(end > begin ? end - begin : 0n);
      uses.set(label, {
        label,
        microseconds: sum.microseconds + nanoseconds / 1000,
        flop: sum.flop + flop,
        bytes: sum.bytes + bytes,
      });
    });
    querySet.destroy();
    resolved.destroy();
    return [...uses.values()].sort((a, b) => b.microseconds - a.microseconds);
  }

  close(): void {
    for (const buffer of this.owned) buffer.destroy();
  }

  #buffer(tensor: Tensor): GPUBuffer {
    const buffer = this.buffers.get(tensor);
    if (!buffer) throw new Error(`no dispatch uses ${tensor.label}`);
    return buffer;
  }

  #submit(encoder: GPUCommandEncoder, read: readonly Tensor[]): Promise<ArrayBuffer[]> {
    const { device } = this.gpu;
    this.gpu.check();
    const copies = read.map((tensor) => {
      const staging = stagingBuffer(device, tensor.bytes);
      encoder.copyBufferToBuffer(this.#buffer(tensor), 0, staging, 0, tensor.bytes);
      return staging;
    });
    device.queue.submit([encoder.finish()]);
    return this.gpu.settle(Promise.all(copies.map(take)));
  }
}

/** Queued before whatever is submitted later; in words, so the rest of the last one becomes 0. */
export function writeBuffer({ device }: Gpu, buffer: GPUBuffer, data: ArrayBufferView<ArrayBuffer>): void {
  const whole = data.byteLength - (data.byteLength % 4);
  device.queue.writeBuffer(buffer, 0, data.buffer, data.byteOffset, whole);
  if (whole === data.byteLength) return;
  const rest = new Uint8Array(4); // writes are in words
  rest.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
  device.queue.writeBuffer(buffer, whole, rest);
}

function stagingBuffer(device: GPUDevice, bytes: number): GPUBuffer {
  return device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
}

async function take(staging: GPUBuffer): Promise<ArrayBuffer> {
  await staging.mapAsync(GPUMapMode.READ);
  const copy = staging.getMappedRange().slice(0);
  staging.destroy();
  return copy;
}
