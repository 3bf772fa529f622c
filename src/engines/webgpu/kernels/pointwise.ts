/**
 * @file Kernels generated for a group of element-wise layers: the forward pass, the sums that batch norm's gradient
 * needs, and the gradients of the group's inputs. Each recomputes the members' values from the group's inputs, which is
 * cheaper than keeping them. One thread has four channels of one pixel.
 */

import type { PointwiseGroup, PointwiseLayer } from '../../compiled/fusion.js';
import { type BufferType, defineKernel, type Kernel, linearEntry, type ScalarType } from '../kernel.js';
import { channelSums, SUM_PARAMS } from './channelSums.js';
import { type FeatureFormat, formats } from './formats.js';

/**
 * Per batch norm, vectors of `quads` vec4f, in this order, at its offset in the coefficient buffer.
 * output = (input − mean) · scale + shift; the last three are for the backward pass: 1/σ, and over all pixels the means
 * of dL/doutput and of dL/doutput · x̂, x̂ = (input − mean)/σ.
 */
export const COEFFICIENTS = ['mean', 'scale', 'shift', 'inverse', 'meanGradient', 'meanProduct'] as const;
type Coefficient = (typeof COEFFICIENTS)[number];

/** What the generated source of a group depends on. */
export interface GroupShape {
  readonly group: PointwiseGroup;
  /** Format of each input and output, by layer name. */
  readonly formats: ReadonlyMap<string, FeatureFormat>;
  /** Of all gradients. */
  readonly gradients: FeatureFormat;
}

/** Whether values of an input are multiples of a step, which is a parameter. */
export const hasStep = (format: FeatureFormat): boolean => format === 'levels';

const index = <T extends { name: string }>(members: readonly T[], name: string): number =>
  members.findIndex((member) => member.name === name);

/** Names in the source are numbered within the group, so groups of one structure share a pipeline. */
class GroupSource {
  readonly params: Record<string, ScalarType> = { size: 'u32', quads: 'u32' };
  readonly buffers: Record<string, BufferType> = {};

  /** @param inRegisters an input that the caller's source declares as `product` */
  constructor(
    readonly shape: GroupShape,
    readonly inRegisters?: string,
  ) {
    const { group } = shape;
    group.inputs.forEach((name, i) => {
      if (name === inRegisters) return;
      const format = shape.formats.get(name)!;
      this.buffers[inputName(i)] = `read ${formats[format].element}`;
      if (hasStep(format)) this.params[`inputStep${i}`] = 'f32';
    });
    if (group.members.some(({ kind }) => kind === 'batchNorm')) this.buffers.coefficients = 'read vec4f';
    group.members.forEach(({ kind }, m) => {
      if (kind === 'batchNorm') this.params[`norm${m}`] = 'u32';
      if (kind === 'quantize') {
        this.params[`clip${m}`] = 'f32';
        this.params[`levels${m}`] = 'f32';
      }
    });
  }

  /** WGSL expression of a layer's value: a member's, or an input's. */
  value(name: string): string {
    const m = index(this.shape.group.members, name);
    return m >= 0 ? `value${m}` : `in${this.shape.group.inputs.indexOf(name)}`;
  }

  /** Declares all inputs' and members' values; needs `i` (element) and `quad` (which four channels). */
  forward(): string {
    const { group } = this.shape;
    const inputs = group.inputs.map((name, n) => {
      if (name === this.inRegisters) return `  let in${n} = product;`;
      const format = this.shape.formats.get(name)!;
      const step = hasStep(format) ? ` * params.inputStep${n}` : '';
      return `  let in${n} = ${formats[format].load(`${inputName(n)}[i]`)}${step};`;
    });
    return [...inputs, ...group.members.map((member, m) => this.#member(member, m))].join('\n');
  }

  /**
   * The declarations of {@link forward} and others after them that statements need; buffers that none of these reads are
   * not bound.
   */
  neededBy(statements: readonly string[], others: string): string {
    const declarations = `${this.forward()}\n${others}`.split('\n');
    let code = statements.join('\n');
    const needed: string[] = [];
    for (const line of declarations.reverse()) {
      const name = /^ *let (\w+) =/.exec(line)?.[1];
      if (!name || !new RegExp(`\\b${name}\\b`).test(code)) continue;
      code += `\n${line}`;
      needed.unshift(line);
    }
    for (const buffer of Object.keys(this.buffers)) {
      if (!new RegExp(`\\b${buffer}\\b`).test(code)) delete this.buffers[buffer];
    }
    return needed.join('\n');
  }

  #member(member: PointwiseLayer, m: number): string {
    const [x, y] = member.inputs.map((name) => this.value(name));
    switch (member.kind) {
      case 'batchNorm': {
        const [mean, scale, shift] = (['mean', 'scale', 'shift'] as const).map((c) => coefficient(m, c));
        return `  let value${m} = (${x} - ${mean}) * ${scale} + ${shift};`;
      }
      case 'relu':
        return `  let value${m} = max(${x}, vec4f());`;
      case 'add':
        return `  let value${m} = ${x} + ${y};`;
      case 'quantize':
        return [
          `  let level${m} = round(clamp(${x} / params.clip${m}, vec4f(), vec4f(1)) * params.levels${m});`,
          `  let value${m} = level${m} * (params.clip${m} / params.levels${m});`,
        ].join('\n');
    }
  }
}

const inputName = (i: number) => `input${i}`;
const outputName = (m: number) => `output${m}`;

/** WGSL: four channels of a batch norm's coefficient vector. */
const coefficient = (member: number, name: Coefficient): string =>
  `coefficients[params.norm${member} + ${COEFFICIENTS.indexOf(name)}u * params.quads + quad]`;

/** WGSL: x̂ of a batch norm, from the expression of its input. */
const normalizedInput = (member: number, x: string): string =>
  `(${x} - ${coefficient(member, 'mean')}) * ${coefficient(member, 'inverse')}`;

const elementEntry = (body: string) =>
  linearEntry(`  if (i >= params.size) { return; }
  let quad = i % params.quads;
${body}`);

/** Names of the buffers a group's kernels bind. */
export const groupBuffers = {
  input: (shape: GroupShape, name: string) => inputName(shape.group.inputs.indexOf(name)),
  output: (shape: GroupShape, name: string) => outputName(index(shape.group.members, name)),
  /** The n-th gradient that readers of an output hand back. */
  gradient: (shape: GroupShape, name: string, n: number) =>
    `gradient${index(shape.group.members, name)}_${n}`,
  inputGradient: (shape: GroupShape, name: string) => `inputGradient${shape.group.inputs.indexOf(name)}`,
  sums: (shape: GroupShape, name: string) => `sums${index(shape.group.members, name)}`,
};

/** Parameters of a group's kernels besides `size` (pixels · quads) and `quads`. */
export const groupParams = {
  norm: (shape: GroupShape, name: string) => `norm${index(shape.group.members, name)}`,
  clip: (shape: GroupShape, name: string) => `clip${index(shape.group.members, name)}`,
  levels: (shape: GroupShape, name: string) => `levels${index(shape.group.members, name)}`,
  /** Where in the range buffer the largest magnitude of an input's gradient goes. */
  range: (shape: GroupShape, name: string) => `range${shape.group.inputs.indexOf(name)}`,
  inputStep: (shape: GroupShape, name: string) => `inputStep${shape.group.inputs.indexOf(name)}`,
};

/** Computes the group and writes its outputs. */
export function groupForwardKernel(shape: GroupShape): Kernel {
  const { params, buffers, body } = forwardSource(new GroupSource(shape));
  return defineKernel({ label: 'element-wise', params, buffers, body: elementEntry(body) });
}

/** A group that is computed where its last input is, in the kernel of a convolution. */
export interface Epilogue {
  readonly shape: GroupShape;
  /** The convolution. */
  readonly input: string;
}

/** Parameters, buffers and WGSL of an epilogue; the source sees `product`, and `i` and `quad` as a group's kernels do. */
export const epilogueSource = ({ shape, input }: Epilogue) => forwardSource(new GroupSource(shape, input));

function forwardSource(source: GroupSource) {
  const { shape } = source;
  const stores = shape.group.outputs.map((name) => {
    const m = index(shape.group.members, name);
    const format = formats[shape.formats.get(name)!];
    const isQuantized = shape.group.members[m].kind === 'quantize';
    source.buffers[outputName(m)] = `read_write ${format.element}`;
    return `  ${outputName(m)}[i] = ${format.store(isQuantized ? `level${m}` : `value${m}`)};`;
  });
  const { params, buffers } = source;
  return { params, buffers, body: `${source.forward()}\n${stores.join('\n')}` };
}

/** Which gradients a group's backward pass gets and owes. */
export interface GroupGradients {
  /** By output: how many gradient buffers its readers hand back. */
  readonly received: ReadonlyMap<string, number>;
  /** Inputs that need a gradient. */
  readonly owed: readonly string[];
  /** Those of them whose gradient's largest magnitude is wanted, as bits, in the buffer `range`. */
  readonly ranged: ReadonlySet<string>;
  /** Batch norms that normalise by the batch's statistics: their gradient goes through these, too. */
  readonly trainedNorms: ReadonlySet<string>;
}

/**
 * Sums owed to a shortcut, by the input: the addition whose gradient is the input's, whole. Where a sums kernel runs, it
 * writes them, and the gradient kernel begins with them: both would have to read all that they are made of otherwise.
 */
function shortcuts(
  { group }: GroupShape,
  { owed, trainedNorms }: GroupGradients,
): Map<string, PointwiseLayer> {
  if (trainedNorms.size === 0) return new Map();
  const found = owed.flatMap((input) => {
    const readings = group.members.flatMap((member) =>
      member.inputs.filter((name) => name === input).map(() => member),
    );
    return readings.length === 1 && readings[0].kind === 'add' ? [[input, readings[0]] as const] : [];
  });
  return new Map(found);
}

/**
 * Sums over pixels, for each trained batch norm of the group, of dL/doutput and dL/doutput · x̂: partial sums per chunk
 * of pixels, as {@link channelSums} lays them out.
 */
export function groupSumsKernel(shape: GroupShape, gradients: GroupGradients, lanes: number): Kernel {
  const source = new GroupSource(shape);
  const backward = new BackwardSource(source, gradients);
  const norms = shape.group.members.filter(({ name }) => gradients.trainedNorms.has(name));
  const sums = norms.map((norm) => {
    const m = index(shape.group.members, norm.name);
    const x = source.value(norm.inputs[0]);
    source.buffers[groupBuffers.sums(shape, norm.name)] = 'read_write vec4f';
    return {
      target: groupBuffers.sums(shape, norm.name),
      values: [`g${m}`, `g${m} * ${normalizedInput(m, x)}`] as const,
    };
  });
  const stores = [...shortcuts(shape, gradients)].map(([input, { name }]) => {
    const target = groupBuffers.inputGradient(shape, input);
    source.buffers[target] = `read_write ${formats[shape.gradients].element}`;
    return `${target}[i] = ${formats[shape.gradients].store(`g${index(shape.group.members, name)}`)};`;
  });
  const perPixel = source.neededBy(
    [...stores, ...sums.flatMap(({ target, values }) => [target, ...values])],
    backward.declarations(),
  );
  const body = channelSums({ lanes, perPixel: [perPixel, ...stores].join('\n'), sums });
  const params = { ...source.params, ...SUM_PARAMS };
  return defineKernel({ label: 'batch norm gradient sums', params, buffers: source.buffers, body });
}

/** Gradients of the group's inputs. Batch norm: dx = scale · (g − mean(g) − x̂ · mean(g · x̂)). */
export function groupBackwardKernel(shape: GroupShape, gradients: GroupGradients): Kernel {
  const source = new GroupSource(shape);
  const known = shortcuts(shape, gradients);
  const backward = new BackwardSource(source, gradients, known);
  const owed = gradients.owed.filter((name) => !known.has(name));
  const ranged = owed.filter((name) => gradients.ranged.has(name));
  const stores = owed.map((input, n) => {
    const parts = shape.group.members.flatMap((reader) => backward.contributions(reader, input));
    const target = groupBuffers.inputGradient(shape, input);
    const format = formats[shape.gradients];
    source.buffers[target] = `read_write ${format.element}`;
    const store = `  let result${n} = ${parts.join(' + ')};\n  ${target}[i] = ${format.store(`result${n}`)};`;
    const r = ranged.indexOf(input);
    return r < 0 ? store : `${store}\n  top${r} = bitcast<u32>(largestOf(abs(result${n})));`;
  });
  const computed = [source.neededBy(stores, backward.declarations()), ...stores].join('\n');
  if (ranged.length > 0) source.buffers.range = 'read_write atomic<u32>';
  ranged.forEach((input) => {
    source.params[groupParams.range(shape, input)] = 'u32';
  });
  const body = ranged.length > 0 ? rangeEntry(shape, ranged, computed) : elementEntry(computed);
  return defineKernel({
    label: 'element-wise gradient',
    params: source.params,
    buffers: source.buffers,
    ...(ranged.length > 0 ? { extensions: ['subgroups'] } : {}),
    body,
  });
}

/**
 * WGSL: as {@link elementEntry}; the largest magnitudes (whose bits order as they do) go to the range buffer, in as few
 * atomic operations as may be. Only matrix units want them, and these have subgroups.
 */
const rangeEntry = (shape: GroupShape, ranged: readonly string[], computed: string): string => `
var<workgroup> largest: array<atomic<u32>, ${ranged.length}>;
fn largestOf(values: vec4f) -> f32 { return max(max(values.x, values.y), max(values.z, values.w)); }
${linearEntry(`${ranged.map((_, r) => `  var top${r} = 0u;`).join('\n')}
  if (i < params.size) {
  let quad = i % params.quads;
${computed}
  }
${ranged.map((_, r) => `  top${r} = subgroupMax(top${r});`).join('\n')}
  if (subgroupElect()) {
${ranged.map((_, r) => `    atomicMax(&largest[${r}], top${r});`).join('\n')}
  }
  workgroupBarrier();
  if (local == 0u) {
${ranged
  .map((input, r) => {
    const at = `params.${groupParams.range(shape, input)}`;
    return `    atomicMax(&range[${at}], atomicLoad(&largest[${r}]));`;
  })
  .join('\n')}
  }`)}`;

/** Gradients g0, g1 … of the members: what readers outside handed back, and what readers in the group pass on. */
class BackwardSource {
  constructor(
    readonly forward: GroupSource,
    readonly gradients: GroupGradients,
    /** Gradients that are in memory already, by the input: that of the addition which reads it. */
    readonly known: ReadonlyMap<string, PointwiseLayer> = new Map(),
  ) {
    for (const input of known.keys()) {
      const { shape } = forward;
      forward.buffers[groupBuffers.inputGradient(shape, input)] = `read ${formats[shape.gradients].element}`;
    }
    for (const [name, count] of gradients.received) {
      for (let n = 0; n < count; n++) {
        const { element } = formats[forward.shape.gradients];
        forward.buffers[groupBuffers.gradient(forward.shape, name, n)] = `read ${element}`;
      }
    }
  }

  /** Declares the members' gradients, the last member's first. */
  declarations(): string {
    const { shape } = this.forward;
    const { members } = shape.group;
    return members
      .map((member, m) => {
        const input = [...this.known].find(([, addition]) => addition === member)?.[0];
        if (input !== undefined) {
          const buffer = groupBuffers.inputGradient(shape, input);
          return `  let g${m} = ${formats[shape.gradients].load(`${buffer}[i]`)};`;
        }
        const received = Array.from({ length: this.gradients.received.get(member.name) ?? 0 }, (_, n) => {
          return formats[shape.gradients].load(`${groupBuffers.gradient(shape, member.name, n)}[i]`);
        });
        const passed = members.flatMap((reader) => this.contributions(reader, member.name));
        return `  let g${m} = ${[...received, ...passed].join(' + ') || 'vec4f()'};`;
      })
      .reverse()
      .join('\n');
  }

  /** What a member adds to the gradient of a layer, once for each time it reads it. */
  contributions(reader: PointwiseLayer, input: string): string[] {
    return reader.inputs.filter((name) => name === input).map(() => this.#passOn(reader, input));
  }

  #passOn(member: PointwiseLayer, input: string): string {
    const m = index(this.forward.shape.group.members, member.name);
    const x = this.forward.value(input);
    switch (member.kind) {
      case 'add':
        return `g${m}`;
      case 'relu':
        return `select(vec4f(), g${m}, ${x} > vec4f())`;
      case 'quantize': // straight through where 0 ≤ x ≤ clip
        return `select(vec4f(), g${m}, (${x} >= vec4f()) & (${x} <= vec4f(params.clip${m})))`;
      case 'batchNorm': {
        const scale = coefficient(m, 'scale');
        if (!this.gradients.trainedNorms.has(member.name)) return `${scale} * g${m}`;
        const average = `${coefficient(m, 'meanGradient')} + ${normalizedInput(m, x)} * ${coefficient(m, 'meanProduct')}`;
        return `${scale} * (g${m} - (${average}))`;
      }
    }
  }
}
