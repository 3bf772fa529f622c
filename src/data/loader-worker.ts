/** @file The worker thread that renders batches. */
import { workerData } from 'node:worker_threads';
import type { ViewOptions } from './augment.js';
import { type BatchJob, BatchRenderer, type ImageTable } from './render.js';
import { answerJobs } from './worker-pool.js';

export interface LoaderWorkerData {
  readonly options: ViewOptions;
  readonly table: ImageTable;
}

const { options, table } = workerData as LoaderWorkerData;
const renderer = new BatchRenderer(options, table);

answerJobs<BatchJob, Uint8Array<ArrayBuffer>>(
  (job) => renderer.render(job),
  (pixels) => [pixels.buffer],
);
