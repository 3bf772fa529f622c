/**
 * @file A matrix product in float32 on any GPU: 256 threads compute a tile, each a part of it in registers, from two
 * tiles in workgroup memory, both [inner][rows or columns].
 */
import { formats } from './formats.js';
import {
  lines,
  loadRun,
  type Operand,
  type Product,
  placeType,
  quadWords,
  type Tile,
  tilePlace,
} from './product.js';

const THREADS = 256;
/** Threads along each side of a tile. */
const SIDE = 16;
const components = ['x', 'y', 'z', 'w'];

/** Largest first; both workgroup tiles together take 16 KiB, what every device has. */
export const floatTiles: readonly Tile[] = [
  { rows: 128, columns: 128, depth: 16 },
  { rows: 128, columns: 64, depth: 16 },
  { rows: 64, columns: 128, depth: 16 },
  { rows: 64, columns: 64, depth: 32 },
];

/** WGSL of the kernel. Grid: {@link productGrid}. */
export function gemm(product: Product, tile: Tile): string {
  const [rowQuads, columnQuads] = [tile.rows / SIDE / 4, tile.columns / SIDE / 4];
  const sum = (row: number, quad: number) => `sum${row}_${quad}`;
  const sums = (line: (row: number, quad: number) => string) =>
    lines(4 * rowQuads, (row) => lines(columnQuads, (quad) => line(row, quad)));
  const left = new OperandTile('left', 'row', tile.rows, tile.depth, product.left.along === 'inner');
  const right = new OperandTile('right', 'column', tile.columns, tile.depth, product.right.along === 'inner');
  const { rowsPerSum = 1 } = product;

  return `
var<workgroup> left: array<vec4f, ${(tile.rows * tile.depth) / 4}>;
var<workgroup> right: array<vec4f, ${(tile.columns * tile.depth) / 4}>;
${placeType}
${product.functions}
${quadFunction(product.left, 'leftQuad(row: Row, inner: u32)', 'leftAt(row, inner)')}
${quadFunction(product.right, 'rightQuad(inner: u32, column: Column)', 'rightAt(inner, column)')}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
${tilePlace(product, tile)}
  let threadRow = local / ${SIDE}u;
  let threadColumn = local % ${SIDE}u;
${sums((row, quad) => `  var ${sum(row, quad)} = vec4f();`)}
${left.places()}
${right.places()}
  let innerEnd = ${product.innerEnd};
  for (var innerBase = ${product.innerStart}; innerBase < innerEnd; innerBase += ${tile.depth}u) {
${left.load()}
${right.load()}
    workgroupBarrier();
    for (var k = 0u; k < ${tile.depth}u; k++) {
${lines(rowQuads, (q) => `      let a${q} = left[k * ${tile.rows / 4}u + threadRow + ${q * SIDE}u];`)}
${lines(columnQuads, (q) => `      let b${q} = right[k * ${tile.columns / 4}u + threadColumn + ${q * SIDE}u];`)}
${sums((row, quad) => {
  const factor = `a${row >> 2}.${components[row & 3]}`;
  return `      ${sum(row, quad)} = fma(vec4f(${factor}), b${quad}, ${sum(row, quad)});`;
})}
    }
    workgroupBarrier();
  }
${sums((row, quad) => {
  if (row % rowsPerSum > 0) return '';
  const rowIndex = (row: number) => `rowBase + 4u * (threadRow + ${(row >> 2) * SIDE}u) + ${row & 3}u`;
  const column = `columnBase + 4u * (threadColumn + ${quad * SIDE}u)`;
  const weighted = Array.from({ length: rowsPerSum }, (_, i) => {
    return `weighted(${rowIndex(row + i)}, ${column}, ${sum(row + i, quad)})`;
  });
  const value = rowsPerSum === 1 ? sum(row, quad) : weighted.join(' + ');
  return `  storeQuad(${rowIndex(row)}, ${column}, split, ${value});`;
})}
}
`;
}

/** Neighbouring rows of a thread. */
export const FLOAT_ROWS = 4;

/** Values that a load brings. */
export const FLOAT_RUN = 4;

/** WGSL: four neighbours of an operand, zeros outside. */
function quadFunction(operand: Operand, signature: string, place: string): string {
  const { format, scale } = operand;
  const values = formats[format].values(quadWords('run', format, FLOAT_RUN, 0));
  return `
fn ${signature} -> vec4f {
  let at = ${place};
  let run = ${loadRun(operand, 'at', FLOAT_RUN)};
  return select(vec4f(), ${values}${scale ? ` * ${scale}` : ''}, at.exists);
}`;
}

const operandQuad = (operand: 'left' | 'right', place: string, inner: string): string =>
  operand === 'left' ? `leftQuad(${place}, ${inner})` : `rightQuad(${inner}, ${place})`;

/** One operand's tile in workgroup memory, element (inner, s) at [inner · side/4 + s/4], and how threads fill it. */
class OperandTile {
  /** Quads along the inner dimension are read four at a time and stored turned. */
  readonly #items: number;
  readonly #perThread: number;

  constructor(
    readonly name: 'left' | 'right',
    readonly place: 'row' | 'column',
    readonly side: number,
    readonly depth: number,
    readonly turned: boolean,
  ) {
    this.#items = (side * depth) / (turned ? 16 : 4);
    this.#perThread = Math.ceil(this.#items / THREADS);
  }

  /** Declares the rows or columns that this thread reads. */
  places(): string {
    return lines(this.#perThread, (i) => {
      const first = `${this.place}Base + 4u * (${this.#item(i)} % ${this.side / 4}u)`;
      return lines(this.turned ? 4 : 1, (j) => {
        return `  let ${this.#placeName(i, j)} = ${this.place}Of(${first} + ${j}u, split);`;
      });
    });
  }

  load(): string {
    return lines(this.#perThread, (i) => {
      const item = this.#item(i);
      const statements = this.turned ? this.#loadTurned(i) : this.#loadStraight(i);
      return this.#items % THREADS === 0
        ? `    {\n${statements}\n    }`
        : `    if (${item} < ${this.#items}u) {\n${statements}\n    }`;
    });
  }

  #loadStraight(i: number): string {
    const inner = `innerBase + ${this.#item(i)} / ${this.side / 4}u`;
    return `      ${this.name}[${this.#item(i)}] = ${operandQuad(this.name, this.#placeName(i, 0), inner)};`;
  }

  #loadTurned(i: number): string {
    const innerQuad = `${this.#item(i)} / ${this.side / 4}u`;
    const sideQuad = `${this.#item(i)} % ${this.side / 4}u`;
    const inner = `innerBase + 4u * (${innerQuad})`;
    return [
      lines(4, (j) => `      let quad${j} = ${operandQuad(this.name, this.#placeName(i, j), inner)};`),
      lines(4, (k) => {
        const turned = [0, 1, 2, 3].map((j) => `quad${j}.${components[k]}`).join(', ');
        const at = `(4u * (${innerQuad}) + ${k}u) * ${this.side / 4}u + ${sideQuad}`;
        return `      ${this.name}[${at}] = vec4f(${turned});`;
      }),
    ].join('\n');
  }

  #placeName(i: number, j: number): string {
    return `${this.place}${i}_${j}`;
  }

  #item(i: number): string {
    return i === 0 ? 'local' : `(local + ${i * THREADS}u)`;
  }
}
