import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Experiment } from '../config/schema.js';
import { pixelSpec, preparePixels, protocols } from '../data/index.js';
import { outdatedFolders, specFolder } from '../data/pixel-cache.js';
import type { DataSet } from '../data/types.js';
import { ExitCode, UserError } from '../errors.js';
import { xbmHome } from '../paths.js';
import type { Io } from './io.js';
import { withProgress } from './progress.js';

/** Where an experiment keeps its pixel caches. */
export function cacheFolderOf({ data }: Experiment): string {
  return data.cache ?? join(xbmHome(), 'cache');
}

/**
 * Decodes all splits into the pixel cache and prints what was done.
 * @throws UserError (exit code 4) when images are missing or damaged; all others are cached by then
 */
export async function prepareData(
  io: Io,
  experiment: Experiment,
  dataSet: DataSet,
  options: { readonly workers?: number; readonly json?: boolean },
): Promise<void> {
  const { task, training, data } = experiment;
  const samples = [...dataSet.train, ...dataSet.validation, ...dataSet.test];
  const spec = pixelSpec(data.augmentation ?? protocols[task].augmentation, training.imageSize);
  const cacheFolder = cacheFolderOf(experiment);
  const label = `${task}: decoding`;
  const prepared = await withProgress(io, { label, total: samples.length, unit: 'images' }, (progress) =>
    preparePixels({
      samples,
      spec,
      cacheFolder,
      workers: options.workers ?? availableParallelism(),
      onProgress: (done) => progress.update(done),
      ...(io.signal && { signal: io.signal }),
    }),
  );
  const { decoded, failures } = prepared;
  const report = {
    task,
    images: samples.length,
    decoded,
    cached: samples.length - decoded - failures.length,
    failed: failures.map(({ sample, error }) => ({ path: sample.path, reason: error.message })),
    folder: specFolder(cacheFolder, spec),
  };
  for (const old of outdatedFolders(cacheFolder))
    io.stderr(`${old}: pixels of an older version of xbm, which nothing reads now; it can be deleted\n`);
  for (const { reason } of report.failed) io.stderr(`${reason}\n`);
  if (options.json) io.stdout(`${JSON.stringify(report)}\n`);
  else {
    io.stdout(
      `${task}: ${samples.length} images, ${decoded} decoded now, ${report.cached} cached before; ${report.folder}\n`,
    );
  }
  if (failures.length > 0) {
    throw new UserError(
      `${failures.length} of ${samples.length} images cannot be used`,
      'Replace the files listed above and run the command again.',
      ExitCode.failed,
    );
  }
}
