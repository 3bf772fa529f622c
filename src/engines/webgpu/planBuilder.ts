/** @file Collects the dispatches of a step and compiles them: pipelines, buffers and bind groups are made once. */
import { ExitCode, UserError } from '../../errors.js';
import { planMemory } from '../compiled/memory.js';
import type { Gpu } from './device.js';
import {
  encodeScalars,
  FIRST_BUFFER_BINDING,
  type Kernel,
  MAX_WORKGROUPS,
  PARAMS_BINDING,
  STEP_BINDING,
  UNIFORM_ALIGNMENT,
  type Workgroups,
} from './kernel.js';
import { type Encoded, type KernelUse, Plan, type Tensor, writeBuffer } from './plan.js';

interface Dispatch {
  readonly kernel: Kernel;
  readonly tensors: readonly Tensor[];
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: Workgroups;
  readonly flop: number;
}

/** What a step is emitted for; compiling it needs the GPU itself. */
export type GpuFacts = Pick<Gpu, 'units' | 'precision' | 'limits'>;

/** What one dispatch computes and moves. */
export interface DispatchFacts extends Omit<KernelUse, 'microseconds'> {
  readonly workgroups: Workgroups;
}

const bytesOf = ({ tensors }: Dispatch): number =>
  tensors.reduce((sum, { bytes, inParts }) => sum + (inParts ? 0 : bytes), 0);

/** Collects dispatches, then compiles them. */
export class PlanBuilder {
  readonly #dispatches: Dispatch[] = [];
  readonly #cleared: Tensor[] = [];
  readonly #initial = new Map<Tensor, ArrayBufferView<ArrayBuffer> | null>();

  constructor(readonly gpu: GpuFacts) {}

  /** Of all dispatches collected so far, in order. */
  facts(): DispatchFacts[] {
    return this.#dispatches.map((dispatch) => {
      const { kernel, workgroups, flop } = dispatch;
      return { label: kernel.label, workgroups, flop, bytes: bytesOf(dispatch) };
    });
  }

  /** A tensor that need not outlive the step. */
  transient(label: string, bytes: number): Tensor {
    return { label, bytes: alignBytes(bytes), transient: true };
  }

  /** A tensor with a buffer of its own. @param data its contents at first; null: zeros */
  persistent(
    label: string,
    bytes: number,
    data: ArrayBufferView<ArrayBuffer> | null = null,
    { inParts = false } = {},
  ): Tensor {
    const tensor = { label, bytes: alignBytes(bytes), transient: false, inParts };
    this.#initial.set(tensor, data);
    return tensor;
  }

  /** Fills a persistent tensor with zeros at the start of every run. */
  clearFirst(tensor: Tensor): void {
    this.#cleared.push(tensor);
  }

  dispatch<P extends string, B extends string>(
    kernel: Kernel<P, B>,
    call: {
      params: Readonly<Record<P, number>>;
      tensors: Readonly<Record<B, Tensor>>;
      workgroups: Workgroups;
      /** For profiles. */
      flop?: number;
    },
  ): void {
    const { params, workgroups, flop = 0 } = call;
    const tensors = Object.keys(kernel.buffers).map((name) => call.tensors[name as B]);
    this.#dispatches.push({ kernel, tensors, params, workgroups, flop });
  }

  /**
   * Compiles kernels and makes all buffers.
   * @param keep transient tensors that are read back after the step: nothing may overwrite them
   * @throws UserError when they do not fit the device
   */
  async finish(gpu: Gpu, keep: readonly Tensor[] = []): Promise<Plan> {
    const { transients, memory, total } = this.memory(keep);
    for (const tensor of [...transients, ...this.#initial.keys()]) this.#checkSize(tensor);
    for (const dispatch of this.#dispatches) this.#checkDispatch(dispatch);

    const pipelines = await Promise.all(this.#dispatches.map(({ kernel }) => gpu.pipeline(kernel)));
    const made: GPUBuffer[] = [];
    const buffers = await allocate(gpu, total, made, () => {
      const create = (bytes: number) => {
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        made.push(gpu.device.createBuffer({ size: bytes, usage }));
        return made[made.length - 1];
      };
      const shared = memory.buffers.map(create);
      return new Map([
        ...transients.map((tensor, i) => [tensor, shared[memory.assignment[i]]] as const),
        ...[...this.#initial.keys()].map((tensor) => [tensor, create(tensor.bytes)] as const),
      ]);
    });
    for (const [tensor, data] of this.#initial) {
      if (data) writeBuffer(gpu, buffers.get(tensor)!, data);
    }
    const uniforms = this.#uniforms(gpu);
    made.push(uniforms.params, uniforms.step);
    const encoded = this.facts().map((facts, i): Encoded => {
      const bindGroup = bind(gpu, this.#dispatches[i], pipelines[i], i, uniforms, buffers);
      return { ...facts, pipeline: pipelines[i], bindGroup };
    });
    const cleared = this.#cleared.map((tensor) => buffers.get(tensor)!);
    return new Plan(gpu, encoded, cleared, buffers, made, uniforms.step, total);
  }

  /**
   * Which transient tensors share a buffer, and the bytes of all buffers together.
   * @param keep as for {@link finish}
   */
  memory(keep: readonly Tensor[] = []) {
    const kept = new Set(keep);
    const transients = [
      ...new Set(this.#dispatches.flatMap(({ tensors }) => tensors).filter((t) => t.transient)),
    ];
    const lifetimes = transients.map((tensor) => {
      const uses = (dispatch: Dispatch) => dispatch.tensors.includes(tensor);
      const last = kept.has(tensor) ? this.#dispatches.length : this.#dispatches.findLastIndex(uses);
      return { bytes: tensor.bytes, first: this.#dispatches.findIndex(uses), last };
    });
    const memory = planMemory(lifetimes);
    const persistent = [...this.#initial.keys()].reduce((sum, { bytes }) => sum + bytes, 0);
    const total = memory.buffers.reduce((sum, bytes) => sum + bytes, persistent);
    return { transients, memory, total };
  }

  #checkSize({ label, bytes }: Tensor): void {
    const limit = Math.min(this.gpu.limits.maxBufferSize, this.gpu.limits.maxStorageBufferBindingSize);
    if (bytes <= limit) return;
    throw tooLarge(`"${label}" takes ${mebibytes(bytes)}, and the GPU allows ${mebibytes(limit)} per buffer`);
  }

  #checkDispatch({ kernel, workgroups }: Dispatch): void {
    const count = Object.keys(kernel.buffers).length;
    const limit = this.gpu.limits.maxStorageBuffersPerShaderStage;
    if (count > limit) {
      throw new UserError(
        `kernel ${kernel.label} binds ${count} buffers, and the GPU allows ${limit}`,
        'Use another engine: --engine onnx.',
        ExitCode.unavailable,
      );
    }
    if (workgroups.some((n) => n > MAX_WORKGROUPS)) {
      throw tooLarge(
        `kernel ${kernel.label} would need ${Math.max(...workgroups)} workgroups in one dimension`,
      );
    }
  }

  #uniforms({ device }: Gpu): { params: GPUBuffer; step: GPUBuffer } {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const bytes = Math.max(1, this.#dispatches.length) * UNIFORM_ALIGNMENT;
    const values = new ArrayBuffer(bytes);
    this.#dispatches.forEach(({ kernel, params }, i) => {
      encodeScalars(kernel.params, params, values, i * UNIFORM_ALIGNMENT);
    });
    const params = device.createBuffer({ size: bytes, usage });
    device.queue.writeBuffer(params, 0, values);
    return { params, step: device.createBuffer({ size: UNIFORM_ALIGNMENT, usage }) };
  }
}

function bind(
  { device }: Gpu,
  { kernel, tensors }: Dispatch,
  pipeline: GPUComputePipeline,
  index: number,
  uniforms: { params: GPUBuffer; step: GPUBuffer },
  buffers: ReadonlyMap<Tensor, GPUBuffer>,
): GPUBindGroup {
  const params = { buffer: uniforms.params, offset: index * UNIFORM_ALIGNMENT, size: UNIFORM_ALIGNMENT };
  const entries: GPUBindGroupEntry[] = [{ binding: PARAMS_BINDING, resource: params }];
  if (kernel.usesStep) entries.push({ binding: STEP_BINDING, resource: { buffer: uniforms.step } });
  tensors.forEach((tensor, i) => {
    const resource = { buffer: buffers.get(tensor)!, size: tensor.bytes };
    entries.push({ binding: FIRST_BUFFER_BINDING + i, resource });
  });
  return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
}

/** @throws UserError when the GPU has not enough memory; buffers already made are freed */
async function allocate<T>({ device }: Gpu, total: number, made: GPUBuffer[], make: () => T): Promise<T> {
  device.pushErrorScope('out-of-memory');
  const result = make();
  const error = await device.popErrorScope();
  if (!error) return result;
  for (const buffer of made) buffer.destroy();
  throw tooLarge(`${mebibytes(total)} do not fit the GPU's memory`);
}

function tooLarge(problem: string): UserError {
  return new UserError(
    `the step is too large for this GPU: ${problem}`,
    'Use a smaller training.batchSize or training.imageSize, or another engine with --engine.',
    ExitCode.unavailable,
  );
}

const alignBytes = (bytes: number): number => Math.max(4, Math.ceil(bytes / 4) * 4);
const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
