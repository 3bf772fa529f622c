/**
 * @file tfjs-node 4.22, the latest release, calls `util.isNullOrUndefined`, which Node 23 removed, and `util.isArray`,
 * which warns from Node 22. Its repository has the correction since April 2025 (tensorflow/tfjs#8425), no release does:
 * delete this file when one does.
 */
import { createRequire } from 'node:module';

interface LegacyUtil {
  isNullOrUndefined?: (value: unknown) => boolean;
  isArray: (value: unknown) => boolean;
}

/** Puts back what tfjs-node takes from node:util; call it before tfjs-node is loaded. */
export function restoreLegacyUtil(): void {
  const util: LegacyUtil = createRequire(import.meta.url)('node:util');
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  util.isArray = Array.isArray;
}
