/** Tallest raster, in cells: masks with more bits per filter are averaged down to it. */
const MAX_ROWS = 64;

/** A mask as grey cells, [rows, columns]: 255 where every bit is on, 0 where every bit is off. */
export interface MaskRaster {
  readonly columns: number;
  readonly rows: number;
  readonly grey: Uint8Array;
}

/**
 * One layer's mask as a picture: a column is an output channel, a row one or more segments of its filter.
 * @param mask bits [columns, segments]
 */
export function maskRaster(mask: Uint8Array, columns: number): MaskRaster {
  const segments = mask.length / columns;
  const perRow = Math.ceil(segments / MAX_ROWS);
  const rows = Math.ceil(segments / perRow);
  const grey = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const from = row * perRow;
    const to = Math.min(segments, from + perRow);
    for (let column = 0; column < columns; column++) {
      let on = 0;
      for (let i = column * segments + from; i < column * segments + to; i++) on += mask[i];
      grey[row * columns + column] = Math.round((255 * on) / (to - from));
    }
  }
  return { columns, rows, grey };
}
