export type { Batch } from './batch.js';
export { createLoader } from './loader.js';
export { type DataSetOptions, openDataSet } from './open.js';
export { type Protocol, protocols } from './protocol.js';
export * from './types.js';
