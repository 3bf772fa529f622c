/** @file Opens a GPU through Dawn and keeps what is made once per device: compiled pipelines and the first failure. */
import { tmpdir } from 'node:os';
import { ExitCode, UserError } from '../../errors.js';
import { FIRST_BUFFER_BINDING, type Kernel, PARAMS_BINDING, STEP_BINDING } from './kernel.js';
import { type MatrixShape, type MatrixUnits, matrixTiles } from './kernels/matrixGemm.js';

export interface AdapterFacts {
  /** "NVIDIA H100 (Vulkan driver …)" */
  readonly name: string;
  /** A software GPU: computes on the CPU. */
  readonly software: boolean;
}

/**
 * Matrix units are still behind the first of these, float16 on NVIDIA behind the second (selfCheck.ts looks whether both
 * are right). Time stamps come in steps of 65 µs unless told not to.
 */
const dawnToggles = [
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
  'disable-dawn-features=timestamp_quantization',
];

/** Dawn itself: once it is collected as garbage, every device made by it crashes. */
let dawn: GPU | undefined;

/** The adapter Dawn prefers, or null where it finds none. */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  // Dawn would find none either, but complain on stderr, where no caller can catch it.
  if (process.platform === 'linux' && !canLoadLibrary('libvulkan.so.1')) return null;
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals); // the flags of usages and stages
  dawn ??= create([...dawnToggles]);
  return withRuntimeFolder(dawn, (gpu) => gpu.requestAdapter({ powerPreference: 'high-performance' }));
}

/**
 * Whether the dynamic linker finds a library and all that it needs.
 * @param name as for dlopen: "libvulkan.so.1"
 */
export function canLoadLibrary(name: string): boolean {
  try {
    process.dlopen({ exports: {} }, name);
    return true;
  } catch (error) {
    // Node loads only addons: a library that was found is refused afterwards, for not being one.
    return error instanceof Error && /did not self-register/.test(error.message);
  }
}

/** Vulkan layers look for a display and complain on stderr where this variable is missing: compute needs none. */
async function withRuntimeFolder<T>(gpu: GPU, work: (gpu: GPU) => Promise<T>): Promise<T> {
  if (process.platform !== 'linux' || process.env.XDG_RUNTIME_DIR) return work(gpu);
  process.env.XDG_RUNTIME_DIR = tmpdir();
  try {
    return await work(gpu);
  } finally {
    delete process.env.XDG_RUNTIME_DIR;
  }
}

export function adapterFacts({ info }: GPUAdapter): AdapterFacts {
  const named = [info.device, info.description].filter(Boolean).join(', ');
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(named);
  return { name: named || info.vendor || 'unnamed GPU', software };
}

/** What matrix units need; `subgroup-size-control` fixes how many threads share a matrix. */
const matrixFeatures = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
] as const;

/** Not yet in WebGPU's types. */
interface MatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** Bytes of the registers of one of Intel's hardware threads that sums may take: half of the 4 KiB of Xe-HPG. */
const INTEL_SUM_BYTES = 2048;

/** An adapter's matrix units for float16 operands with float32 sums, or why it has none that can be used. */
export type MatrixSupport =
  | { readonly units: MatrixUnits }
  | { readonly units: null; readonly reason: string };

export function matrixSupport({ features, info, limits }: GPUAdapter): MatrixSupport {
  const missing = matrixFeatures.filter((name) => !features.has(name));
  if (missing.length > 0) return { units: null, reason: `the driver does not offer ${missing.join(', ')}` };
  const { subgroupMaxSize: subgroupSize = 0 } = info;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> };
  const configs = [...subgroupMatrixConfigs];
  const sumBytes = /intel/i.test(info.vendor ?? '') ? { sumBytes: INTEL_SUM_BYTES } : {};
  const shapesOf = (component: string, result: string) =>
    configs
      .filter((config) => config.componentType === component && config.resultComponentType === result)
      .map(({ M, N, K }): MatrixShape => ({ rows: M, columns: N, depth: K }))
      // The largest takes the fewest instructions; drivers list them in any order.
      .sort((a, b) => b.rows * b.columns * b.depth - a.rows * a.columns * a.depth);
  const units = shapesOf('f16', 'f32')
    .flatMap((shape) =>
      [...shapesOf('i8', 'i32'), null].map((integers): MatrixUnits => {
        return { ...shape, subgroupSize, integers, ...sumBytes };
      }),
    )
    .find((candidate) => matrixTiles(candidate, limits).length > 0);
  if (units) return { units };
  const listed = configs.map((config) => {
    return `${config.M}×${config.N}×${config.K} ${config.componentType} → ${config.resultComponentType}`;
  });
  return {
    units: null,
    reason: `f16 → f32 in a shape that a tile fits is wanted, the driver has ${listed.join(', ') || 'none'}`,
  };
}

const shapeOf = ({ rows, columns, depth }: MatrixShape): string => `${rows}×${columns}×${depth}`;

export function describeMatrix(matrix: MatrixSupport): string {
  const { units } = matrix;
  return units
    ? `matrix units ${shapeOf(units)} in float16${units.integers ? `, ${shapeOf(units.integers)} in int8` : ''}`
    : `no matrix units (${matrix.reason})`;
}

/** What limits of the adapter a device asks for: as much memory, and for a kernel as many buffers and threads, as may be. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/**
 * What training computes in. `mixed`: products on matrix units where there are some, and then also 16 bits for most of
 * what lies in memory; `products`: matrix units, but 32 bits in memory; `float32`: neither.
 */
export type Precision = 'mixed' | 'products' | 'float32';

export class Gpu {
  #failure: Error | null = null;
  #matrix: MatrixSupport;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  private constructor(
    readonly device: GPUDevice,
    readonly canTime: boolean,
    readonly isSoftware: boolean,
    readonly precision: Precision,
    matrix: MatrixSupport,
  ) {
    this.#matrix = matrix;
    device.lost.then(({ reason, message }) => {
      if (reason !== 'destroyed') this.#fail(`the GPU was lost: ${message}`);
    });
    device.onuncapturederror = ({ error }) => this.#fail(`the GPU reports: ${error.message}`);
  }

  static async open(adapter: GPUAdapter, precision: Precision = 'mixed'): Promise<Gpu> {
    const canTime = adapter.features.has('timestamp-query');
    const matrix: MatrixSupport =
      precision === 'float32' ? { units: null, reason: 'float32 was asked for' } : matrixSupport(adapter);
    const features = [...(canTime ? ['timestamp-query'] : []), ...(matrix.units ? matrixFeatures : [])];
    try {
      const device = await adapter.requestDevice({
        requiredLimits: Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]])),
        requiredFeatures: features as GPUFeatureName[],
      });
      return new Gpu(device, canTime, adapterFacts(adapter).software, precision, matrix);
    } catch (error) {
      throw new UserError(
        `${adapterFacts(adapter).name} does not open: ${oneLine(String((error as Error).message))}`,
        'Choose another engine with --engine; see `xbm engines`.',
        ExitCode.unavailable,
      );
    }
  }

  /** What convolutions of levels run on; null: in float32 on any GPU. */
  get units(): MatrixUnits | null {
    return this.#matrix.units;
  }

  get matrix(): MatrixSupport {
    return this.#matrix;
  }

  /** Sessions opened from now on compute in float32. */
  leaveUnits(reason: string): void {
    this.#matrix = { units: null, reason };
  }

  /** Sessions opened from now on compute in float16 and float32. */
  leaveIntegers(): void {
    if (this.#matrix.units) this.#matrix = { units: { ...this.#matrix.units, integers: null } };
  }

  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  /** @throws UserError once the device was lost or reported an error: nothing it computes can be trusted then */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /**
   * Awaits work of the GPU; when the device fails meanwhile, says how.
   * @throws UserError also for what Dawn rejects with: a lost device ends mappings with an AbortError, which elsewhere
   * means that the user interrupted
   */
  async settle<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.check();
      return result;
    } catch (error) {
      await new Promise((resolve) => setImmediate(resolve)); // lets `lost` be heard first
      if (error instanceof DOMException) this.#fail(`the GPU failed: ${error.message || error.name}`);
      this.check();
      throw error;
    }
  }

  /** Compiled once per device, whatever session asks. */
  pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(kernel.code);
    if (!pipeline) {
      pipeline = this.settle(this.#compile(kernel));
      this.#pipelines.set(kernel.code, pipeline);
    }
    return pipeline;
  }

  #fail(message: string): void {
    this.#failure ??= new UserError(
      oneLine(message),
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

/** Dawn's messages have a line for each call they come from. */
export const oneLine = (message: string): string => message.trim().replace(/\s*\n\s*(- )?/g, '; ');
