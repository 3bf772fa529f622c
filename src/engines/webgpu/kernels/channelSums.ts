/**
 * @file Sums over pixels per channel, in two stages and a fixed order, so that results repeat bit by bit: partial sums of
 * chunks of pixels here, their total in the kernel that reads them.
 */
import type { ScalarType, Workgroups } from '../kernel.js';

const THREADS = 256;

/** Workgroups that keep a large GPU busy. */
const ENOUGH_WORKGROUPS = 1024;
const MAX_CHUNKS = 256;
const MIN_PIXELS_PER_CHUNK = 64;

export const SUM_PARAMS = { pixels: 'u32', pixelsPerChunk: 'u32' } as const satisfies Record<
  string,
  ScalarType
>;

export interface SumGrid {
  /** Threads side by side along channels, each with four. */
  readonly lanes: number;
  readonly chunks: number;
  readonly pixelsPerChunk: number;
  readonly workgroups: Workgroups;
}

export function sumGrid(pixels: number, quads: number): SumGrid {
  const lanes = 2 ** Math.min(4, Math.ceil(Math.log2(quads)));
  const columns = Math.ceil(quads / lanes);
  const enough = Math.min(MAX_CHUNKS, Math.ceil(ENOUGH_WORKGROUPS / columns));
  const wanted = Math.min(enough, Math.ceil(pixels / MIN_PIXELS_PER_CHUNK));
  const pixelsPerChunk = Math.ceil(pixels / wanted);
  const chunks = Math.ceil(pixels / pixelsPerChunk);
  return { lanes, chunks, pixelsPerChunk, workgroups: [columns, chunks, 1] };
}

/** Bytes of one pair of sums per channel and chunk. */
export const sumBytes = (quads: number, chunks: number): number => quads * chunks * 2 * 16;

/** WGSL: `columnTotal` adds up a column of a workgroup's threads, which all get the total. */
export const columnTotal = (rows: number, columns: number): string => `
var<workgroup> partial: array<vec4f, ${rows * columns}>;

fn columnTotal(local: u32, value: vec4f) -> vec4f {
  workgroupBarrier();
  partial[local] = value;
  for (var rows = ${rows / 2}u; rows > 0u; rows /= 2u) {
    workgroupBarrier();
    if (local < rows * ${columns}u) { partial[local] += partial[local + rows * ${columns}u]; }
  }
  workgroupBarrier();
  return partial[local % ${columns}u];
}
`;

/**
 * WGSL of a kernel with {@link SUM_PARAMS} and `quads`.
 * @param perPixel statements that see `i` (pixel · quads + quad) and `quad`
 * @param sums pairs of vec4f expressions to add up; target[(chunk · quads + quad) · 2 + 0 or 1] are their totals, or what
 * `stored` makes of these and of `count`, the chunk's pixels
 */
export function channelSums(source: {
  lanes: number;
  /** Statements before the pixels, which see `quad`. */
  perChannel?: string;
  perPixel: string;
  sums: readonly {
    target: string;
    values: readonly [string, string];
    stored?: (first: string, second: string) => readonly [string, string];
  }[];
}): string {
  const { lanes, perChannel = '', perPixel, sums } = source;
  const rows = THREADS / lanes;
  const stores = ({ target, stored }: (typeof sums)[number], s: number) => {
    const totals = [`total${s}_0`, `total${s}_1`] as const;
    return (stored?.(...totals) ?? totals)
      .map((value, part) => `    ${target}[at + ${part}u] = ${value};`)
      .join('\n');
  };
  const each = (line: (s: number, part: number) => string) =>
    sums.flatMap((_, s) => [0, 1].map((part) => line(s, part))).join('\n');
  return `${columnTotal(rows, lanes)}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let quad = group.x * ${lanes}u + local % ${lanes}u;
  let row = local / ${lanes}u;
  let end = min(params.pixels, (group.y + 1u) * params.pixelsPerChunk);
${each((s, part) => `  var sum${s}_${part} = vec4f();`)}
  if (quad < params.quads) {
${perChannel}
    for (var pixel = group.y * params.pixelsPerChunk + row; pixel < end; pixel += ${rows}u) {
      let i = pixel * params.quads + quad;
${perPixel}
${sums.map(({ values }, s) => values.map((value, part) => `      sum${s}_${part} += ${value};`).join('\n')).join('\n')}
    }
  }
${each((s, part) => `  let total${s}_${part} = columnTotal(local, sum${s}_${part});`)}
  if (row == 0u && quad < params.quads) {
    let at = (group.y * params.quads + quad) * 2u;
    let count = f32(end - group.y * params.pixelsPerChunk);
${sums.map(stores).join('\n')}
  }
}
`;
}
