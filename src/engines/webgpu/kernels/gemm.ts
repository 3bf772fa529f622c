/**
 * @file The tiled matrix product behind convolutions and the head: 256 threads compute a tile of the product, each
 * `rowsPerThread × columnsPerThread` of it in registers, from two tiles in workgroup memory.
 */

/** Sides of the tile that a workgroup computes, and how far it goes along the inner dimension at a time. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

export const THREADS = 256;
/** Threads along each side of a tile. */
const SIDE = 16;

/** The sides available; both workgroup tiles together take 16 KiB, what every device has. */
const sides = [64, 128] as const;

/** The largest tile that the product fills and that still makes enough workgroups to fill a GPU. */
export function chooseTile(rows: number, columns: number, enoughWorkgroups = 256): Tile {
  const candidates: Tile[] = [];
  for (const side of sides) {
    for (const other of sides) {
      const depth = side === 64 && other === 64 ? 32 : 16;
      candidates.push({ rows: side, columns: other, depth });
    }
  }
  candidates.sort((a, b) => b.rows * b.columns - a.rows * a.columns || b.rows - a.rows);
  const fits = candidates.find(
    (tile) =>
      tile.columns / 2 < columns &&
      tile.rows / 2 < rows &&
      Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) >= enoughWorkgroups,
  );
  return fits ?? { rows: 64, columns: 64, depth: 32 };
}

/**
 * WGSL of the whole kernel. The snippets see `rowBase`, `columnBase` (first row and column of the tile), `split`
 * (index along z), `local` (thread), `TILE_ROWS`, `TILE_COLUMNS`, `DEPTH` and, while loading, `innerBase`.
 */
export interface GemmSource {
  readonly tile: Tile;
  /** Declarations at module level. */
  readonly functions?: string;
  /** Statements before the loop. */
  readonly prologue: string;
  /** WGSL expressions: the range of the inner dimension, the same for all threads of a workgroup. */
  readonly innerStart: string;
  readonly innerEnd: string;
  /** Fills `left`: element (k, m) at left[k · TILE_ROWS/4 + m/4]. */
  readonly loadLeft: string;
  /** Fills `right`: element (k, n) at right[k · TILE_COLUMNS/4 + n/4]. */
  readonly loadRight: string;
  /** Stores `value`, four neighbouring columns from `column` of row `row`. */
  readonly store: string;
}

export function gemm(source: GemmSource): string {
  const { tile } = source;
  const [rowQuads, columnQuads] = [tile.rows / SIDE / 4, tile.columns / SIDE / 4];
  const each = (count: number, line: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => line(i)).join('\n');
  const rowsPerThread = rowQuads * 4;
  const accumulator = (row: number, quad: number) => `sum_${row}_${quad}`;
  const components = ['x', 'y', 'z', 'w'];

  return `
const TILE_ROWS = ${tile.rows}u;
const TILE_COLUMNS = ${tile.columns}u;
const DEPTH = ${tile.depth}u;
var<workgroup> left: array<vec4f, ${(tile.rows * tile.depth) / 4}>;
var<workgroup> right: array<vec4f, ${(tile.columns * tile.depth) / 4}>;
${source.functions ?? ''}
fn storeQuad(row: u32, column: u32, split: u32, value: vec4f) {
${source.store}
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let rowBase = group.x * TILE_ROWS;
  let columnBase = group.y * TILE_COLUMNS;
  let split = group.z;
  let threadRow = local / ${SIDE}u;
  let threadColumn = local % ${SIDE}u;
${each(rowsPerThread, (row) => each(columnQuads, (quad) => `  var ${accumulator(row, quad)} = vec4f();`))}
${source.prologue}
  let innerEnd = ${source.innerEnd};
  for (var innerBase = ${source.innerStart}; innerBase < innerEnd; innerBase += DEPTH) {
${source.loadLeft}
${source.loadRight}
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
${each(rowQuads, (q) => `      let a${q} = left[k * ${tile.rows / 4}u + threadRow + ${q * SIDE}u];`)}
${each(columnQuads, (q) => `      let b${q} = right[k * ${tile.columns / 4}u + threadColumn + ${q * SIDE}u];`)}
${each(rowsPerThread, (row) =>
  each(columnQuads, (quad) => {
    const factor = `a${row >> 2}.${components[row & 3]}`;
    const sum = accumulator(row, quad);
    return `      ${sum} = fma(vec4f(${factor}), b${quad}, ${sum});`;
  }),
)}
    }
    workgroupBarrier();
  }
${each(rowsPerThread, (row) =>
  each(columnQuads, (quad) => {
    const rowExpression = `rowBase + 4u * (threadRow + ${(row >> 2) * SIDE}u) + ${row & 3}u`;
    const columnExpression = `columnBase + 4u * (threadColumn + ${quad * SIDE}u)`;
    return `  storeQuad(${rowExpression}, ${columnExpression}, split, ${accumulator(row, quad)});`;
  }),
)}
}
`;
}

/** WGSL: runs `body` with `item` from this thread's share of 0 … count − 1. */
export function forEachItem(count: number, body: string): string {
  if (count < THREADS) return `    if (local < ${count}u) {\n      let item = local;\n${body}\n    }`;
  if (count % THREADS !== 0) throw new Error(`${count} items do not divide among ${THREADS} threads`);
  return `    for (var item = local; item < ${count}u; item += ${THREADS}u) {\n${body}\n    }`;
}
