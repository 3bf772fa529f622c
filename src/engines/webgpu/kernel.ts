/** @file One WGSL compute kernel: its source, made from declared parameters and buffers so that the two cannot differ. */

export type ScalarType = 'u32' | 'f32';
export type ElementType =
  | 'f32'
  | 'u32'
  | 'i32'
  | 'vec2u'
  | 'vec4u'
  | 'vec4f'
  | 'f16'
  | 'vec4<f16>'
  | 'atomic<u32>';
export type BufferType = `${'read' | 'read_write'} ${ElementType}`;

export interface Kernel<P extends string = string, B extends string = string> {
  /** Its kind, under which a profile adds up times. */
  readonly label: string;
  /** Scalars that differ from dispatch to dispatch, in the order of the uniform struct. */
  readonly params: Readonly<Record<P, ScalarType>>;
  readonly buffers: Readonly<Record<B, BufferType>>;
  /** Reads {@link STEP_FIELDS} as `step`. */
  readonly usesStep: boolean;
  readonly code: string;
}

/** What changes from step to step: learning rates by parameter group, Adam's bias corrections, the noise's key. */
export const STEP_FIELDS = {
  learningRateMasks: 'f32',
  learningRateWeights: 'f32',
  learningRateBatchNorm: 'f32',
  learningRateHead: 'f32',
  correction1: 'f32',
  correction2: 'f32',
  index: 'u32',
} as const satisfies Record<string, ScalarType>;
export type StepField = keyof typeof STEP_FIELDS;

/** Uniform buffers start at multiples of this, the largest alignment a device may ask for, bytes. */
export const UNIFORM_ALIGNMENT = 256;

export const PARAMS_BINDING = 0;
export const STEP_BINDING = 1;
export const FIRST_BUFFER_BINDING = 2;

/**
 * WGSL: bfloat16, the upper half of a float32, two to a word. Rounds to nearest, ties to even; a NaN, which rounding up
 * could turn into a zero, stays one.
 */
const bfloat16Functions = `
fn bfloat16Values(pairs: vec2u) -> vec4f {
  return bitcast<vec4f>(vec4u(pairs.x << 16u, pairs.x & 0xffff0000u, pairs.y << 16u, pairs.y & 0xffff0000u));
}
fn bfloat16Pairs(values: vec4f) -> vec2u {
  let bits = bitcast<vec4u>(values);
  let rounded = bits + 0x7fffu + ((bits >> vec4u(16u)) & vec4u(1u));
  let isNan = (bits & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
  let upper = select(rounded, bits | vec4u(0x400000u), isNan);
  return (upper.xz >> vec2u(16u)) | (upper.yw & vec2u(0xffff0000u));
}`;

/**
 * @param kernel.extensions WGSL extensions to enable; float16 buffers enable theirs themselves
 * @param kernel.body WGSL that reads `params`, `step` and the buffers by their names and has an entry point `main`; may call
 * `bfloat16Values` and `bfloat16Pairs`
 */
export function defineKernel<P extends string, B extends string>(kernel: {
  label: string;
  params: Record<P, ScalarType>;
  buffers: Record<B, BufferType>;
  usesStep?: boolean;
  extensions?: readonly string[];
  body: string;
}): Kernel<P, B> {
  const { label, params, buffers, usesStep = false, body } = kernel;
  if (Object.keys(params).length * 4 > UNIFORM_ALIGNMENT) throw new Error(`${label}: too many parameters`);
  const hasHalf = Object.values<BufferType>(buffers).some((type) => type.includes('f16'));
  const extensions = new Set([...(hasHalf ? ['f16'] : []), ...(kernel.extensions ?? [])]);
  const declarations = [
    ...[...extensions].map((name) => `enable ${name};`),
    struct('Params', params),
    `@group(0) @binding(${PARAMS_BINDING}) var<uniform> params: Params;`,
  ];
  if (usesStep) {
    declarations.push(
      struct('Step', STEP_FIELDS),
      `@group(0) @binding(${STEP_BINDING}) var<uniform> step: Step;`,
    );
  }
  Object.entries<BufferType>(buffers).forEach(([name, type], i) => {
    const [access, element] = type.split(' ');
    declarations.push(
      `@group(0) @binding(${FIRST_BUFFER_BINDING + i}) var<storage, ${access}> ${name}: array<${element}>;`,
    );
  });
  if (/\bbfloat16(Values|Pairs)\(/.test(body)) declarations.push(bfloat16Functions);
  return { label, params, buffers, usesStep, code: `${declarations.join('\n')}\n${body}` };
}

function struct(name: string, fields: Readonly<Record<string, ScalarType>>): string {
  const members = Object.entries(fields).map(([field, type]) => `  ${field}: ${type},`);
  return `struct ${name} {\n${members.join('\n')}\n}`;
}

/** Writes scalars as a kernel's uniform struct reads them. */
export function encodeScalars(
  fields: Readonly<Record<string, ScalarType>>,
  values: Readonly<Record<string, number>>,
  target: ArrayBuffer,
  byteOffset = 0,
): void {
  const view = new DataView(target, byteOffset);
  Object.entries(fields).forEach(([name, type], i) => {
    const value = values[name];
    if (value === undefined) throw new Error(`kernel parameter ${name} has no value`);
    if (type === 'f32') view.setFloat32(4 * i, value, true);
    else view.setUint32(4 * i, value, true);
  });
}

/** Threads of one workgroup in kernels with one thread per element. */
export const LINEAR_THREADS = 256;

/** WGSL: the index of this thread over a grid of {@link linearWorkgroups}. */
export const linearEntry = (body: string): string => `
@compute @workgroup_size(${LINEAR_THREADS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * ${LINEAR_THREADS}u + local;
${body}
}
`;

export type Workgroups = readonly [x: number, y: number, z: number];

/** Workgroups per dimension that every device allows. */
export const MAX_WORKGROUPS = 65_535;

/** A grid with at least so many workgroups in each layer: two-dimensional beyond {@link MAX_WORKGROUPS}. */
export function foldedGrid(groups: number, layers = 1): Workgroups {
  const rows = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / rows), rows, layers];
}

/** A grid with at least `threads` threads. */
export const linearWorkgroups = (threads: number): Workgroups =>
  foldedGrid(Math.ceil(threads / LINEAR_THREADS));
