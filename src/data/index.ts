export type { Batch } from './batch.js';
export { type ContactSheet, drawContactSheet } from './contact-sheet.js';
export { createLoader, hashImages } from './loader.js';
export { type DataSetOptions, openDataSet } from './open.js';
export { preparePixels } from './pixel-cache.js';
export { pixelSpec } from './pixel-spec.js';
export { type Protocol, type PublishedCounts, protocols } from './protocol.js';
export * from './types.js';
export { type VerifyReport, verifyDataSet } from './verify.js';
