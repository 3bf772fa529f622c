/** @file Batches in a fixed order, rendered ahead by worker threads. */
import { UserError } from '../errors.js';
import { hashString, permutation } from '../random.js';
import type { ViewOptions } from './augment.js';
import type { Batch } from './batch.js';
import { imagesHash } from './imagesHash.js';
import type { LoaderWorkerData } from './loader-worker.js';
import { requirePixels } from './pixel-cache.js';
import { pixelSpec } from './pixel-spec.js';
import { type BatchJob, BatchRenderer, type ImageTable, shareImages } from './render.js';
import type { CachedImage } from './shard.js';
import type { BatchLoader, LoaderOptions, Sample } from './types.js';
import { WorkerPool } from './worker-pool.js';

const SHUFFLE = hashString('shuffle');
/** Batches that each worker renders ahead, and bytes that all of them may fill. */
const AHEAD = 2;
const AHEAD_BYTES = 1e9;

/**
 * Decodes what the pixel cache lacks, then serves batches. The same options give the same batches, with any number
 * of workers and from any starting batch.
 * @throws UserError when images are damaged or too few for one training batch
 */
export async function createLoader(options: LoaderOptions): Promise<BatchLoader> {
  const { samples, mode, augmentation, imageSize, cropPercent, batchSize, seed } = options;
  if (mode === 'train' && samples.length < batchSize) {
    throw new UserError(
      `${samples.length} training images do not fill one batch of ${batchSize}; the last, partial batch is dropped`,
      `Set training.batchSize to ${Math.max(1, samples.length)} or less.`,
    );
  }
  const images = await cachedImages(options);
  const view = { mode, augmentation, imageSize, cropPercent, seed };
  return new Loader(options, view, imagesHash(samples, images), shareImages(images));
}

/**
 * The `imagesHash` of the loader with these options, without opening one; decodes what the pixel cache lacks.
 * @throws UserError when images are damaged
 */
export async function hashImages(options: PixelOptions): Promise<string> {
  return imagesHash(options.samples, await cachedImages(options));
}

/** What of a loader's options decides which pixels it sees. */
export type PixelOptions = Pick<
  LoaderOptions,
  'samples' | 'augmentation' | 'imageSize' | 'cropPercent' | 'cacheFolder' | 'onProgress' | 'signal'
>;

function cachedImages(options: PixelOptions): Promise<CachedImage[]> {
  const { samples, augmentation, imageSize, cropPercent, cacheFolder, onProgress, signal } = options;
  const spec = pixelSpec(augmentation, imageSize, cropPercent);
  return requirePixels({ samples, spec, cacheFolder, onProgress, signal });
}

class Loader implements BatchLoader {
  readonly samples: readonly Sample[];
  readonly batchesPerEpoch: number;
  private readonly pool: WorkerPool<BatchJob, Uint8Array<ArrayBuffer>> | undefined;
  private readonly renderer: BatchRenderer | undefined;

  constructor(
    private readonly options: LoaderOptions,
    view: ViewOptions,
    readonly imagesHash: string,
    table: ImageTable,
  ) {
    const { samples, mode, batchSize, workers } = options;
    this.samples = samples;
    const batches = samples.length / batchSize;
    this.batchesPerEpoch = mode === 'train' ? Math.floor(batches) : Math.ceil(batches);
    if (workers === 0) this.renderer = new BatchRenderer(view, table);
    else {
      const data: LoaderWorkerData = { options: view, table };
      this.pool = new WorkerPool(new URL('./loader-worker.js', import.meta.url), workers, data);
    }
  }

  async *epoch(epoch: number, fromBatch = 0): AsyncGenerator<Batch> {
    const order = this.order(epoch);
    const ahead = this.ahead();
    const pending: Promise<Uint8Array<ArrayBuffer>>[] = [];
    let next = fromBatch;
    for (let batch = fromBatch; batch < this.batchesPerEpoch; batch++) {
      for (; next < this.batchesPerEpoch && pending.length < ahead; next++) {
        const rendered = this.render({ epoch, indices: this.indices(order, next) });
        // Nobody awaits those that are under way when the iteration is left early.
        rendered.catch(() => {});
        pending.push(rendered);
      }
      const labels = this.indices(order, batch).map((index) => (index < 0 ? -1 : this.samples[index].label));
      yield { pixels: await pending.shift()!, labels };
    }
  }

  async close(): Promise<void> {
    this.renderer?.close();
    await this.pool?.close();
  }

  private async render(job: BatchJob): Promise<Uint8Array<ArrayBuffer>> {
    if (this.pool) return this.pool.run(job);
    // Rendering in this thread lets timers and signals through between two batches.
    await new Promise((resolve) => setImmediate(resolve));
    return this.renderer!.render(job);
  }

  /** How many batches are rendered before they are asked for. */
  private ahead(): number {
    if (!this.pool) return 1;
    const { batchSize, imageSize } = this.options;
    const fitting = Math.floor(AHEAD_BYTES / (batchSize * imageSize * imageSize * 3));
    return Math.max(1, Math.min(this.pool.size * AHEAD, fitting));
  }

  /** Sample indices in the order of an epoch. */
  private order(epoch: number): Int32Array {
    const { samples, mode, seed } = this.options;
    if (mode === 'evaluate') return Int32Array.from(samples, (_, i) => i);
    return Int32Array.from(permutation(samples.length, seed, SHUFFLE, epoch));
  }

  /** The sample indices of one batch, −1 for padding. */
  private indices(order: Int32Array, batch: number): Int32Array {
    const { batchSize } = this.options;
    const indices = new Int32Array(batchSize).fill(-1);
    indices.set(order.subarray(batch * batchSize, (batch + 1) * batchSize));
    return indices;
  }
}
