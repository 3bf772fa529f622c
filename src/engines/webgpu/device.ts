/** @file Opens a GPU through Dawn and keeps what is made once per device: compiled pipelines and the first failure. */
import { ExitCode, UserError } from '../../errors.js';
import { FIRST_BUFFER_BINDING, type Kernel, PARAMS_BINDING, STEP_BINDING } from './kernel.js';

export interface AdapterFacts {
  /** "NVIDIA H100 (Vulkan driver …)" */
  readonly name: string;
  /** A software GPU: computes on the CPU. */
  readonly software: boolean;
}

/** Dawn itself: once it is collected as garbage, every device made by it crashes. */
let dawn: GPU | undefined;

/** The adapter Dawn prefers, or null where it finds none. */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals); // the flags of usages and stages
  dawn ??= create([]);
  return dawn.requestAdapter({ powerPreference: 'high-performance' });
}

export function adapterFacts({ info }: GPUAdapter): AdapterFacts {
  const named = [info.device, info.description].filter(Boolean).join(', ');
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(named);
  return { name: named || info.vendor || 'unnamed GPU', software };
}

/** What limits of the adapter a device asks for: as much memory and as many buffers per kernel as there may be. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

export class Gpu {
  #failure: Error | null = null;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  private constructor(
    readonly device: GPUDevice,
    readonly canTime: boolean,
  ) {
    device.lost.then(({ reason, message }) => {
      if (reason !== 'destroyed') this.#fail(`the GPU was lost: ${message}`);
    });
    device.onuncapturederror = ({ error }) => this.#fail(`the GPU reports: ${error.message}`);
  }

  static async open(adapter: GPUAdapter): Promise<Gpu> {
    const canTime = adapter.features.has('timestamp-query');
    const device = await adapter.requestDevice({
      requiredLimits: Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]])),
      requiredFeatures: canTime ? ['timestamp-query'] : [],
    });
    return new Gpu(device, canTime);
  }

  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  /** @throws UserError once the device was lost or reported an error: nothing it computes can be trusted then */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Awaits work of the GPU; when the device fails meanwhile, says how. */
  async settle<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.check();
      return result;
    } catch (error) {
      await new Promise((resolve) => setImmediate(resolve)); // lets `lost` be heard first
      this.check();
      throw error;
    }
  }

  /** Compiled once per device, whatever session asks. */
  pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(kernel.code);
    if (!pipeline) {
      pipeline = this.#compile(kernel);
      this.#pipelines.set(kernel.code, pipeline);
    }
    return pipeline;
  }

  #fail(message: string): void {
    this.#failure ??= new UserError(
      message,
      'What was written so far is intact: continue with --resume, or choose another engine with --engine.',
      ExitCode.unavailable,
    );
  }

  #compile({ label, code, usesStep, buffers }: Kernel): Promise<GPUComputePipeline> {
    const { device } = this;
    const uniform = (binding: number) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: 'uniform' as const },
    });
    const entries: GPUBindGroupLayoutEntry[] = [uniform(PARAMS_BINDING)];
    if (usesStep) entries.push(uniform(STEP_BINDING));
    Object.values(buffers).forEach((type, i) => {
      entries.push({
        binding: FIRST_BUFFER_BINDING + i,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: type.startsWith('read_write') ? 'storage' : 'read-only-storage' },
      });
    });
    return device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] }),
      compute: { module: device.createShaderModule({ label, code }), entryPoint: 'main' },
    });
  }
}
