/** @file Renders batches from the pixel cache: reads, checks, crops, resizes, flips. Runs in any thread. */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { UserError } from '../errors.js';
import { type View, type ViewOptions, viewOf } from './augment.js';
import { Resampler, rowsOfCrop } from './resample.js';
import { type CachedImage, markDamaged, pixelChecksum } from './shard.js';

const AGAIN = 'Run the command again, a training with --resume';

/** The cached images of all samples, in shared memory, so that every thread sees one copy. */
export interface ImageTable {
  readonly files: readonly string[];
  /** Index into `files` [samples]. */
  readonly file: Int32Array;
  readonly offset: Float64Array;
  readonly width: Int32Array;
  readonly height: Int32Array;
  readonly checksum: Uint32Array;
  /** 1 once an image's checksum has been found right [samples]. */
  readonly verified: Uint8Array;
}

/** Puts cached images into shared memory. */
export function shareImages(images: readonly CachedImage[]): ImageTable {
  const files = [...new Set(images.map(({ file }) => file))];
  const shared = (bytes: number) => new SharedArrayBuffer(images.length * bytes);
  const table: ImageTable = {
    files,
    file: new Int32Array(shared(4)),
    offset: new Float64Array(shared(8)),
    width: new Int32Array(shared(4)),
    height: new Int32Array(shared(4)),
    checksum: new Uint32Array(shared(4)),
    verified: new Uint8Array(shared(1)),
  };
  const numbers = new Map(files.map((file, i) => [file, i]));
  images.forEach((image, i) => {
    table.file[i] = numbers.get(image.file)!;
    for (const key of ['offset', 'width', 'height', 'checksum'] as const) table[key][i] = image[key];
  });
  return table;
}

/** The samples of one batch, −1 for padding. */
export interface BatchJob {
  readonly epoch: number;
  readonly indices: Int32Array;
}

/** Renders batches; holds the cache files open. */
export class BatchRenderer {
  private readonly handles: (number | undefined)[] = [];
  private readonly resampler = new Resampler();
  private buffer = new Uint8Array(0);

  constructor(
    private readonly options: ViewOptions,
    private readonly table: ImageTable,
  ) {}

  /** @returns [indices, imageSize, imageSize, 3]; padding is black */
  render({ epoch, indices }: BatchJob): Uint8Array<ArrayBuffer> {
    const { imageSize } = this.options;
    const bytes = imageSize * imageSize * 3;
    const pixels = new Uint8Array(indices.length * bytes);
    indices.forEach((index, i) => {
      if (index >= 0) this.renderImage(epoch, index, pixels, i * bytes);
    });
    return pixels;
  }

  close(): void {
    for (const handle of this.handles) if (handle !== undefined) closeSync(handle);
    this.handles.length = 0;
  }

  private renderImage(epoch: number, index: number, target: Uint8Array, offset: number): void {
    const size = this.options.imageSize;
    const [width, height] = [this.table.width[index], this.table.height[index]];
    const view = viewOf(this.options, { width, height }, epoch, index);
    if (view.kind === 'shift') {
      copyShifted(this.readRows(index, 0, height), view, target, offset, size);
      return;
    }
    const { firstRow, rows } = rowsOfCrop(view.crop, height);
    const source = this.readRows(index, firstRow, rows);
    const image = { width, height, firstRow };
    this.resampler.cropResize(source, image, view.crop, target, offset, size, view.flip);
  }

  /** Rows of a cached image; the whole image is read and checked the first time any thread needs it. */
  private readRows(index: number, firstRow: number, rows: number): Uint8Array {
    const { width, height, offset, checksum, verified } = this.table;
    const stride = width[index] * 3;
    if (verified[index] === 1) return this.read(index, offset[index] + firstRow * stride, rows * stride);
    const whole = this.read(index, offset[index], height[index] * stride);
    if (pixelChecksum(width[index], height[index], whole) !== checksum[index]) throw this.damaged(index);
    verified[index] = 1;
    return whole.subarray(firstRow * stride, (firstRow + rows) * stride);
  }

  private read(index: number, position: number, length: number): Uint8Array {
    if (this.buffer.length < length) this.buffer = new Uint8Array(length);
    const file = this.table.file[index];
    try {
      this.handles[file] ??= openSync(this.table.files[file], 'r');
      for (let done = 0; done < length; ) {
        const read = readSync(this.handles[file], this.buffer, done, length - done, position + done);
        if (read === 0) throw new Error('it ends too early');
        done += read;
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') {
        throw new UserError(
          `the pixel cache is incomplete: ${this.table.files[file]} was removed during the run`,
          `${AGAIN}; its images are decoded again.`,
        );
      }
      throw this.damaged(index, message);
    }
    return this.buffer.subarray(0, length);
  }

  private damaged(index: number, reason = 'a checksum is wrong'): UserError {
    const file = this.table.files[this.table.file[index]];
    return new UserError(
      `the pixel cache is damaged: ${file}: ${reason}`,
      markDamaged(file, this.table.offset[index])
        ? `${AGAIN}; the image is decoded again.`
        : `Delete ${basename(file)}; its images are decoded again.`,
    );
  }
}

function copyShifted(
  source: Uint8Array,
  view: View & { kind: 'shift' },
  target: Uint8Array,
  offset: number,
  size: number,
): void {
  for (let row = 0; row < size; row++) {
    const sourceRow = row + view.y;
    if (sourceRow < 0 || sourceRow >= size) continue;
    for (let column = 0; column < size; column++) {
      const sourceColumn = column + view.x;
      if (sourceColumn < 0 || sourceColumn >= size) continue;
      const from = (sourceRow * size + sourceColumn) * 3;
      const to = offset + (row * size + (view.flip ? size - 1 - column : column)) * 3;
      target[to] = source[from];
      target[to + 1] = source[from + 1];
      target[to + 2] = source[from + 2];
    }
  }
}
