/** @file From mask bits to what is switched on in every array. */
import { UserError } from '../errors.js';
import type { Policies } from './description.js';
import { type ArrayShape, columnWidths, type LayerMapping, type NetworkMapping } from './mapping.js';

/** How much of a layer's arrays is on. Fractions of used columns, summed over its arrays. */
export interface LayerActivity {
  /** Σ over arrays of (columns on / columns used): equals the number of arrays when nothing is off. */
  readonly onFraction: number;
  /** Σ over arrays of (columns on / columns of the array): for idle unused columns. */
  readonly onColumnsFraction: number;
  /** Arrays with at least one column on. */
  readonly arraysOn: number;
  /** Mask bits read; 0 without masks. */
  readonly maskBits: number;
}

/** Masks of one layer at a resolution of `rowsPerBit` rows: [outputs, bitsPerFilter], 1 = on. */
export interface LayerMask {
  readonly rowsPerBit: number;
  readonly bits: Uint8Array;
}

/** What is known of a task's column masks. */
export type Gating =
  | { readonly kind: 'none' }
  /** Only the share of bits that are off, 0 … 1: taken as the same in every array. */
  | { readonly kind: 'share'; readonly shareOff: number }
  | { readonly kind: 'masks'; readonly masks: Readonly<Record<string, LayerMask>> };

/** The activity of every mapped layer; a mapped head is never masked. */
export function networkActivity(
  mapping: NetworkMapping,
  shape: ArrayShape & { readonly policies: Pick<Policies, 'maskRemap'> },
  gating: Gating,
): LayerActivity[] {
  return mapping.layers.map((layer) => {
    if (gating.kind === 'none' || layer.layer.head) return fullActivity(layer, shape);
    if (gating.kind === 'share') return uniformActivity(layer, shape, gating.shareOff);
    const mask = gating.masks[layer.layer.name];
    if (!mask) throw new UserError(`no mask of layer ${layer.layer.name}`, 'Use a run of this network.');
    return maskActivity(layer, shape, mask, shape.policies.maskRemap);
  });
}

/** Nothing switched off. */
export function fullActivity(mapping: LayerMapping, shape: ArrayShape): LayerActivity {
  const { arrays } = mapping;
  const onColumnsFraction = mapping.usedColumns / shape.columns;
  return { onFraction: arrays, onColumnsFraction, arraysOn: arrays, maskBits: 0 };
}

/**
 * The same share of columns off in every array; no array is wholly off unless all are.
 * @param shareOff 0 … 1
 * @param maskBits bits read; one per output and row segment unless the masks are coarser or finer
 */
export function uniformActivity(
  mapping: LayerMapping,
  shape: ArrayShape,
  shareOff: number,
  maskBits = mapping.rowSegments * mapping.layer.outputs,
): LayerActivity {
  const full = fullActivity(mapping, shape);
  return {
    onFraction: full.onFraction * (1 - shareOff),
    onColumnsFraction: full.onColumnsFraction * (1 - shareOff),
    arraysOn: shareOff < 1 ? full.arraysOn : 0,
    maskBits,
  };
}

/** Counts the columns that real mask bits leave on in each array. */
export function maskActivity(
  mapping: LayerMapping,
  shape: ArrayShape,
  mask: LayerMask,
  remap: Policies['maskRemap'],
): LayerActivity {
  const { layer, rowSegments } = mapping;
  const segments = segmentBits(layer, shape.rows, mask, remap);
  const outputsPerGroup = layer.outputs / layer.groups;
  const widths = columnWidths(outputsPerGroup, shape);
  const sideBySide = shape.policies.placement === 'digits-side-by-side';
  let onFraction = 0;
  let onColumns = 0;
  let arraysOn = 0;
  for (let group = 0; group < layer.groups; group++) {
    for (let segment = 0; segment < rowSegments; segment++) {
      const columnOn = (column: number): number =>
        segments[(group * outputsPerGroup + column) * rowSegments + segment];
      widths.forEach((width, index) => {
        const first = (sideBySide ? index : Math.floor(index / shape.digits)) * shape.columns;
        let on = 0;
        for (let column = first; column < first + width; column++) {
          on += columnOn(sideBySide ? Math.floor(column / shape.digits) : column);
        }
        onFraction += on / width;
        onColumns += on;
        if (on > 0) arraysOn++;
      });
    }
  }
  return { onFraction, onColumnsFraction: onColumns / shape.columns, arraysOn, maskBits: segments.length };
}

/**
 * Mask bits per array row segment, [outputs, rowSegments]: a segment is off only where every bit that covers it is off.
 * Exact where each array segment lies within one mask segment; else the policy must allow the remap.
 * @throws UserError when the sizes disagree or the policy refuses
 */
export function segmentBits(
  layer: { readonly name: string; readonly rows: number; readonly outputs: number },
  arrayRows: number,
  mask: LayerMask,
  remap: Policies['maskRemap'],
): Uint8Array {
  const perFilter = Math.ceil(layer.rows / mask.rowsPerBit);
  if (mask.bits.length !== perFilter * layer.outputs) {
    throw new UserError(
      `the mask of ${layer.name} has ${mask.bits.length} bits, its ${layer.outputs} filters of ${layer.rows} rows need ${perFilter * layer.outputs}`,
      'Use masks that were learned for this network.',
    );
  }
  const rowSegments = Math.ceil(layer.rows / arrayRows);
  const exact = perFilter === 1 || mask.rowsPerBit % arrayRows === 0;
  if (exact && perFilter === rowSegments) return mask.bits;
  if (!exact && remap === 'refuse') {
    throw new UserError(
      `masks learned for segments of ${mask.rowsPerBit} rows cannot be priced on arrays of ${arrayRows} rows (layer ${layer.name})`,
      `Set array.rows=${mask.rowsPerBit}, or policies.maskRemap=and: a segment is then off only where all it covers is off.`,
    );
  }
  const segments = new Uint8Array(layer.outputs * rowSegments);
  for (let output = 0; output < layer.outputs; output++) {
    for (let segment = 0; segment < rowSegments; segment++) {
      const firstRow = segment * arrayRows;
      const lastRow = Math.min(firstRow + arrayRows, layer.rows) - 1;
      const from = output * perFilter + Math.floor(firstRow / mask.rowsPerBit);
      const to = output * perFilter + Math.floor(lastRow / mask.rowsPerBit);
      if (mask.bits.subarray(from, to + 1).includes(1)) segments[output * rowSegments + segment] = 1;
    }
  }
  return segments;
}
